"""One source of a conversation's media: its clock, its captions, and its turns that are not yet published."""

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace

from engine.media import AudioChunk
from engine.runtime.clocks import MediaClock, Timeline
from engine.runtime.load_shedding import LoadShedder
from engine.speech.captions import Captions
from engine.speech.turn import TrackProgress, Turn


class MediaSource:
    """The media of one publisher.

    `live`: not a file, so that somebody waits for the results. `dropped` returns how many of its chunks were lost.
    """

    def __init__(
        self,
        timeline: Timeline,
        load: LoadShedder,
        media: AsyncIterable[AudioChunk],
        *,
        live: bool,
        dropped: Callable[[], int],
    ) -> None:
        self.dropped = dropped
        self.captions = Captions()
        self.clock = MediaClock()
        self.tracks: set[str] = set()
        self.last_end_s = float("-inf")  # of its turns
        self.other_speakers: set[str] = set()  # found on its tracks beside the speakers of the tracks
        self._timeline = timeline
        self._load = load
        self._media = media
        self._live = live
        self._realtime = True
        self._speaking: set[str] = set()  # tracks
        self._unpublished: dict[asyncio.Future[None], Turn] = {}

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for its results: not those of a file, nor of an upload faster than real time."""
        return self._live and self._realtime

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """The media in the conversation's time, with fewer video frames under load."""
        frames = itertools.count()
        async for chunk in self._media:
            self._realtime = chunk.realtime
            silent = not self._speaking
            offset_s = self._timeline.offset_s(self, chunk.end_s, chunk.arrived_at, live=self.awaited, silent=silent)
            moved = chunk.moved(offset_s) if offset_s else chunk
            self.clock.arrived(moved.end_s, moved.arrived_at)
            self.clock.begin(moved.arrived_at)
            self.captions.take_from(moved)
            if moved.frames:
                moved = replace(moved, frames=tuple(it for it in moved.frames if self._load.picture(next(frames))))
            yield moved
            self.clock.rest()

    def progressed(self, progress: TrackProgress) -> None:
        self.tracks.add(progress.track_id)
        (self._speaking.discard if progress.speaking_since_s is None else self._speaking.add)(progress.track_id)

    def finished(self, turn: Turn) -> asyncio.Future[None]:
        """The turn is final. Set the future when its event is published."""
        self.last_end_s = max(self.last_end_s, turn.end_s)
        published: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unpublished[published] = turn
        published.add_done_callback(self._unpublished.pop)
        return published

    async def all_published(self) -> None:
        if self._unpublished:
            # `wait` because cancelling this must not cancel the futures.
            await asyncio.wait(self._unpublished)

    @property
    def lag_s(self) -> float:
        """Seconds behind live: how long the oldest unfinished work has been waiting. 0 where nobody waits for it."""
        if not self.awaited:
            return 0.0
        return max([self.clock.lag_s, *(self.clock.since_s(turn.decided_s) for turn in self._unpublished.values())])

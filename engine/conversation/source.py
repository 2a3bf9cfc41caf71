"""One source of a conversation's media, and what is under way of it."""

import asyncio
from collections.abc import Callable
from functools import partial

from cberl.types import SAMPLE_RATE, Float32
from engine.conversation.speculation import Speculation
from engine.conversation.turn_analysis import TurnAnalysis
from engine.ingest.realtime_detector import RealtimeDetector
from engine.media import AudioChunk
from engine.runtime.clocks import MediaClock
from engine.speech.captions import Captions
from engine.speech.follow import Following
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn


class MediaSource:
    """Its clock, its turns under way, and how far behind live it is."""

    def __init__(
        self,
        live: bool,
        dropped: Callable[[], int],
        analyze_turn: Callable[["MediaSource", Turn], asyncio.Task[TurnAnalysis]],
        hear_along: Callable[[Float32], asyncio.Task[Transcript]],
    ) -> None:
        self.dropped = dropped
        self.captions = Captions()
        self.speculation = Speculation(partial(analyze_turn, self))
        self.following = Following(hear_along)
        self.interims: dict[int, asyncio.Task[None]] = {}  # by turn
        self.clock = MediaClock()
        self.tracks: dict[str, bool] = {}  # whether somebody is speaking on it
        self.voices: set[str] = set()  # who was found to speak beside those whom its tracks name
        self.last_end_s = float("-inf")
        self.unpublished: dict[asyncio.Future[None], Turn] = {}
        self._live = live
        self._unnamed: set[str] = set()
        self._arrived_at = 0.0
        self._pace = RealtimeDetector(now=lambda: self._arrived_at)
        self._uploads = False

    @property
    def waits(self) -> bool:
        """Whether somebody waits for its events: not those of a file, nor of one that is sent in a hurry."""
        return self._live and not self._uploads

    def named(self, speaker: str) -> bool:
        """Whether somebody said that it is they who speak on their track."""
        return speaker not in self._unnamed

    @property
    def speaking(self) -> bool:
        return any(self.tracks.values())

    def arrives(self, chunk: AudioChunk) -> None:
        """Whatever its media time may mean."""
        self._arrived_at = chunk.arrived_at
        self._uploads = self._pace.ahead(chunk.track.id, len(chunk.pcm) / SAMPLE_RATE)
        if not chunk.track.named:
            self._unnamed.add(chunk.track.speaker)

    def arrived(self, chunk: AudioChunk) -> None:
        """In the conversation's media time."""
        self.clock.arrived(chunk.end_s, chunk.arrived_at)
        self.clock.begin(chunk.arrived_at)

    def published(self, future: asyncio.Future[None]) -> None:
        self.unpublished.pop(future, None)

    @property
    def lag_s(self) -> float:
        """How far behind live it is: what came first and is not yet done."""
        if not self.waits:
            return 0.0
        return max([self.clock.lag_s, *(self.clock.since_s(turn.decided_s) for turn in self.unpublished.values())])

"""`/ingest`: one publisher on a WebSocket, which sends media to a conversation and receives its events."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from starlette.websockets import WebSocket

from cberl.types import SAMPLE_RATE
from engine.errors import RefusedError
from engine.events import Error, Notice, SessionEnded, SessionStarted
from engine.ingest.coalesce import CoalescedChunks
from engine.ingest.picture import PictureError
from engine.ingest.picture_decoder import PictureTimeoutError
from engine.ingest.protocol import Discarded, Ended, IngestProtocol, Picture, Result, Started
from engine.ingest.realtime_detector import RealtimeDetector
from engine.media import AudioChunk, ChunkSource, Track, VideoFrame
from engine.runtime.channel import Channel, ChannelClosedError

CHANNEL_CHUNKS = 640  # of at most 0.1 s, so 4 MB per publisher; 6.4 s of two tracks in packets of 20 ms
MAX_FRAMES = 8  # of video per track that wait for the next chunk of audio
MAX_TIMEOUTS = 2  # pictures that take too long to decode; after these, a publisher's pictures are ignored


class Outbox(Protocol):
    """What is sent to the publisher: its subscription to the conversation's events."""

    def notify(self, notice: Notice) -> None: ...

    def end(self, reason: Any) -> None: ...


DecodePicture = Callable[[bytes], Coroutine[Any, Any, NDArray[np.uint8]]]  # see PictureDecoder
Join = Callable[[ChunkSource], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class MediaDeadlines:
    """How long a socket may hold its place without media: before the first, and between later ones."""

    first_s: float = 10.0
    idle_s: float = 600.0


@dataclass(frozen=True, slots=True)
class MediaRates:
    """Called for each message, and for each picture to be decoded. Returns for how many seconds to read nothing."""

    message: Callable[[str | bytes], float] = lambda message: 0.0
    picture: Callable[[], float] = lambda: 0.0


class IngestSocket:
    """Reads an accepted socket until its publisher leaves, while `join` consumes `chunks`.

    A publisher that sends more than `rates` allow is read later. Where the pipeline is behind, `chunks` fills up. An
    upload, which is ahead of real time, then waits: its socket is not read, and nothing is lost. A live sender cannot
    wait: its oldest chunks are dropped, counted and reported.
    """

    def __init__(
        self,
        websocket: WebSocket,
        conversation: str,
        protocol: IngestProtocol,
        join: Join,
        outbox: Outbox,
        decode_picture: DecodePicture,
        deadlines: MediaDeadlines = MediaDeadlines(),
        rates: MediaRates = MediaRates(),
        speaker: str | None = None,
    ) -> None:
        """`speaker`: the only one whose tracks are accepted; None: any."""
        self.chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)
        self._websocket = websocket
        self._conversation = conversation
        self._protocol = protocol
        self._join = join
        self._outbox = outbox
        self._decode_picture = decode_picture
        self._timeouts = 0
        self._detector = RealtimeDetector()
        self._frames: defaultdict[str, deque[VideoFrame]] = defaultdict(partial(deque, maxlen=MAX_FRAMES))
        self._received_s = 0.0
        self._report_drops_at = 1
        self._deadlines = deadlines
        self._rates = rates
        self._speaker = speaker
        self._due_at: float | None = None  # media must come before; None: none is awaited
        self._reading: asyncio.Task[bool] | None = None
        self._stopping = False

    async def run(self) -> bool:
        """Returns when the publisher has left and the event of its last turn is published.

        True where the socket is closed. Else `outbox` still has something to send, and ends.
        """
        self._due_at = asyncio.get_running_loop().time() + self._deadlines.first_s
        async with asyncio.TaskGroup() as group:
            self._reading = group.create_task(self._read(group), name=f"read a publisher of {self._conversation}")
            await asyncio.wait([self._reading])
            # The end of the socket is a normal one: what was received is still analysed.
            for chunk in self._protocol.close():
                await self._add_chunk(chunk)
            self.chunks.close()
        return not self._reading.cancelled() and self._reading.result()

    def stop(self) -> None:
        """Accept no more media, for shutdown. Then `outbox` is left to the caller to end."""
        self._stopping = True
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, group: asyncio.TaskGroup) -> bool:
        """Handle messages until the socket is closed (True), or no media comes in time."""
        while True:
            try:
                async with asyncio.timeout_at(self._due_at):
                    message = await self._websocket.receive()
            except TimeoutError:
                self._outbox.notify(Error("no_media", "No media has come for too long: connect again.", fatal=True))
                self._outbox.end("no_media")
                return False
            if message["type"] == "websocket.disconnect":
                self._outbox.end("closed")
                return True
            received = message["bytes"] if message.get("text") is None else message["text"]
            for result in self._protocol.receive(received):
                await self._handle(result, group)
            await self._pause(self._rates.message(received))

    async def _handle(self, result: Result, group: asyncio.TaskGroup) -> None:
        match result:
            case AudioChunk():
                await self._add_chunk(result)
                if len(result.pcm):
                    self._due_at = asyncio.get_running_loop().time() + self._deadlines.idle_s
            case Discarded():  # whose sender keeps its place, as with any media
                self._due_at = asyncio.get_running_loop().time() + self._deadlines.idle_s
            case Picture():
                await self._add_frame(result)
            case Started(tracks=tracks) if self._forbidden(tracks):
                message = f"This token is for tracks of {self._speaker} alone."
                self._outbox.notify(Error("forbidden", message, fatal=True))
                self._outbox.end("refused")
                self.chunks.close()
            case Started(tracks=tracks):
                self._outbox.notify(SessionStarted(self._conversation, tuple(track.id for track in tracks)))
                group.create_task(self._session(), name=f"publisher of {self._conversation}")
            case Ended():
                self._due_at = None
                self.chunks.close()
            case Error():
                self._outbox.notify(result)

    async def _pause(self, wait_s: float) -> None:
        """Read nothing meanwhile, so that the sender has to wait."""
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            self._detector.made_to_wait()

    def _forbidden(self, tracks: Iterable[Track]) -> bool:
        return self._speaker is not None and any(track.speaker != self._speaker for track in tracks)

    async def _session(self) -> None:
        try:
            await self._join(CoalescedChunks(self.chunks))
        except RefusedError as refused:
            self._outbox.notify(Error(refused.code, str(refused), fatal=True))
            self._outbox.end(refused.code if refused.code in ("full", "too_many", "failed") else "refused")
        else:
            if self._stopping:  # not all that the publisher had to say, so no account of it
                return
            protocol = self._protocol
            ended = SessionEnded(
                self._conversation, self._received_s, self.chunks.dropped, protocol.gaps, protocol.missing_s
            )
            self._outbox.notify(ended)
            self._outbox.end("done")
        finally:
            self.chunks.close()  # nothing reads it any more, so that sending to it must not wait

    async def _add_frame(self, picture: Picture) -> None:
        """Decode it, to be attached to the next chunk of its speaker."""
        try:
            if self._timeouts >= MAX_TIMEOUTS:
                raise PictureError("Pictures of this session took too long to decode: no more are accepted.")
            await self._pause(self._rates.picture())
            rgb = await self._decode_picture(picture.jpeg)
        except PictureError as error:
            self._timeouts += isinstance(error, PictureTimeoutError)
            self._outbox.notify(Error("bad_payload", str(error)))
            return
        self._frames[picture.track.id].append(VideoFrame(picture.track, picture.at_s, rgb))

    async def _add_chunk(self, chunk: AudioChunk) -> None:
        duration_s = len(chunk.pcm) / SAMPLE_RATE
        self._received_s += duration_s
        upload = self._detector.ahead(chunk.track.id, duration_s)
        frames = tuple(self._frames.pop(chunk.track.id, ()))
        chunk = replace(chunk, frames=frames, realtime=not upload)
        if upload:
            with suppress(ChannelClosedError):
                await self.chunks.send(chunk)
            self._detector.made_to_wait()
        elif not self.chunks.closed and not self.chunks.offer(chunk):
            self._report_drops()

    def _report_drops(self) -> None:
        """At 1, 2, 4, 8, … chunks: early, and never too often."""
        dropped = self.chunks.dropped
        if dropped >= self._report_drops_at:
            self._report_drops_at = 2 * dropped
            text = f"The engine is behind live: {dropped} of the oldest chunks have been dropped so far."
            self._outbox.notify(Error("audio_dropped", text))

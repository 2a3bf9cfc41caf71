"""`/ingest`: one publisher on a WebSocket, which sends media to a conversation and receives its events."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from starlette.websockets import WebSocket

from cberl.types import SAMPLE_RATE
from engine.errors import RefusedError
from engine.events import Error, Notice, SessionEnded, SessionStarted
from engine.ingest.coalesce import CoalescedChunks
from engine.ingest.picture import PictureError
from engine.ingest.picture_decoder import PictureDecoder, PictureTimeoutError
from engine.ingest.protocol import Ended, IngestProtocol, Picture, Result, Started
from engine.ingest.realtime_detector import RealtimeDetector
from engine.media import AudioChunk, ChunkSource, VideoFrame
from engine.runtime.channel import Channel, ChannelClosedError

CHANNEL_CHUNKS = 640  # of at most 0.1 s, so 4 MB per publisher; 6.4 s of two tracks in packets of 20 ms
MAX_FRAMES = 8  # of video per track that wait for the next chunk of audio
MAX_TIMEOUTS = 2  # pictures that take too long to decode; after these, a publisher's pictures are ignored


class Outbox(Protocol):
    """What is sent to the publisher: its subscription to the conversation's events."""

    def notify(self, notice: Notice) -> None: ...

    def end(self, reason: Any) -> None: ...


Join = Callable[[ChunkSource], Coroutine[Any, Any, None]]


class IngestSocket:
    """Reads an accepted socket until its publisher leaves, while `join` consumes `chunks`.

    Where the pipeline is behind, `chunks` fills up. An upload, which is ahead of real time, then waits: its socket is
    not read, and nothing is lost. A live sender cannot wait: its oldest chunks are dropped, counted and reported.
    """

    def __init__(
        self,
        websocket: WebSocket,
        conversation: str,
        protocol: IngestProtocol,
        join: Join,
        outbox: Outbox,
        decode_picture: PictureDecoder,
    ) -> None:
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

    async def run(self) -> None:
        """Returns when the publisher has left and the event of its last turn is published."""
        async with asyncio.TaskGroup() as group:
            while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                for result in self._protocol.receive(message["bytes"] if text is None else text):
                    await self._handle(result, group)
            # A closed socket is a normal end: what was received is still analysed.
            self._outbox.end("closed")
            for chunk in self._protocol.close():
                await self._add_chunk(chunk)
            self.chunks.close()

    async def _handle(self, result: Result, group: asyncio.TaskGroup) -> None:
        match result:
            case AudioChunk():
                await self._add_chunk(result)
            case Picture():
                await self._add_frame(result)
            case Started(tracks=tracks):
                self._outbox.notify(SessionStarted(self._conversation, tuple(track.id for track in tracks)))
                group.create_task(self._session(), name=f"publisher of {self._conversation}")
            case Ended():
                self.chunks.close()
            case Error():
                self._outbox.notify(result)

    async def _session(self) -> None:
        try:
            await self._join(CoalescedChunks(self.chunks))
        except RefusedError as refused:
            self._outbox.notify(Error(refused.code, str(refused), fatal=True))
            self._outbox.end(refused.code if refused.code in ("full", "failed") else "refused")
        else:
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

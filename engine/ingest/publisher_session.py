"""One publisher of `/ingest`: handles its messages and passes on its media, also when it changes sockets."""

import asyncio
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cberl.types import SAMPLE_RATE
from engine.errors import RefusedError
from engine.events import Error, Notice, SessionEnded, SessionReceived, SessionStarted
from engine.ingest.coalesce import CoalescedChunks
from engine.ingest.picture import PictureError
from engine.ingest.picture_decoder import PictureTimeoutError
from engine.ingest.protocol import Discarded, Ended, IngestProtocol, Picture, Result, Resume, Started
from engine.ingest.realtime_detector import RealtimeDetector
from engine.media import AudioChunk, ChunkSource, Track, VideoFrame
from engine.runtime.channel import Channel, ChannelClosedError

CHANNEL_CHUNKS = 640  # of at most 0.1 s, so 4 MB per publisher; 6.4 s of two tracks in packets of 20 ms
MAX_FRAMES = 8  # of video per track that wait for the next chunk of audio
MAX_TIMEOUTS = 2  # pictures that take too long to decode; after these, a publisher's pictures are ignored
CLIENT_CLOSES_S = 10.0  # after `session.ended`, the client of a resumable session closes its socket within this
CONFIRM_BYTES, CONFIRM_S = 64 << 10, 1.0  # a `session.received` is sent after so much, or so long

# How a socket ended: by its client, without a word, or because no media came.
SocketEnd = Literal["closed", "lost", "no_media"]


class Outbox(Protocol):
    """What is sent to the publisher: its subscription to the conversation's events."""

    def notify(self, notice: Notice) -> None: ...

    def end(self, reason: Any) -> None: ...


DecodePicture = Callable[[bytes], Coroutine[Any, Any, NDArray[np.uint8]]]  # see PictureDecoder
Join = Callable[[ChunkSource], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class MediaDeadlines:
    """How long a socket may hold its place without media: before the first, and between later ones.

    And how long a resumable session waits for another socket when its own is lost; 0: no session is resumable.
    """

    first_s: float = 10.0
    idle_s: float = 600.0
    resume_s: float = 0.0


class PublisherSession:
    """Handles the messages of one publisher while `join` consumes its media.

    Where the pipeline is behind, `chunks` fills up. An upload, which is ahead of real time, then waits: its socket is
    not read, and nothing is lost. So does what a resumed session had stored meanwhile. A live sender cannot wait: its
    oldest chunks are dropped, counted and reported.
    """

    def __init__(
        self,
        conversation: str,
        protocol: IngestProtocol,
        join: Join,
        outbox: Outbox,
        decode_picture: DecodePicture,
        deadlines: MediaDeadlines = MediaDeadlines(),
        picture_rate: Callable[[], float] = lambda: 0.0,
        speaker: str | None = None,
    ) -> None:
        """`picture_rate`: called for each picture, returns for how many seconds to wait before it is decoded.

        `speaker`: the only one whose tracks are accepted; None: any.
        """
        self.chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)
        self.conversation = conversation
        self.due_at: float | None = self._now() + deadlines.first_s  # when media must come; None: it need not
        self.key = ""  # with which another socket may continue this session; "": none may
        self.stopping = False
        self._protocol = protocol
        self._join = join
        self._outbox = outbox  # of its present socket
        self._decode_picture = decode_picture
        self._deadlines = deadlines
        self._picture_rate = picture_rate
        self._speaker = speaker
        self._timeouts = 0
        self._detector = RealtimeDetector()
        self._frames: defaultdict[str, deque[VideoFrame]] = defaultdict(partial(deque, maxlen=MAX_FRAMES))
        self._received_s = 0.0
        self._report_drops_at = 1
        self._tracks: tuple[str, ...] = ()
        self._began = asyncio.Event()  # or will never begin
        self._account: SessionEnded | None = None
        self._reading: asyncio.Task[SocketEnd] | None = None
        self._moved = asyncio.Event()  # to another socket
        self._handling = asyncio.Lock()
        self._messages = self._unconfirmed_bytes = 0  # since session.start; since the last confirmation
        self._confirmed_at = self._received_at = 0.0
        self._stored_s: defaultdict[str, float] = defaultdict(float)  # of media per track that a lost socket held up

    async def run(self, reading: asyncio.Task[SocketEnd]) -> None:
        """Returns when the publisher has left and the event of its last turn is published.

        `reading` passes on the messages of its first socket.
        """
        self._reading = reading
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session(), name=f"publisher of {self.conversation}")
            await self._sockets_end()
            # The end of the last socket is a normal one: what was received is still analysed.
            for chunk in self._protocol.close():
                await self._add_chunk(chunk)
            self.chunks.close()
            self._began.set()

    def stop(self) -> None:
        """Accept no more media, for shutdown. Then its outbox is left to the caller to end."""
        self.stopping = True
        self._moved.set()
        if self._reading is not None:
            self._reading.cancel()

    async def continue_on(self, reading: asyncio.Task[SocketEnd], outbox: Outbox) -> None:
        """From now on, messages come from another socket, and answers go to it. The one before ends."""
        async with self._handling:  # a message is handled as a whole, and counted, or not at all
            before, self._reading = self._reading, reading
            if before is not None:
                before.cancel()
            self._outbox.end("resumed")
            self._outbox = outbox
            lost_s = self._now() - self._received_at
            self._stored_s = defaultdict(lambda: lost_s)
            self._moved.set()
            outbox.notify(SessionStarted(self.conversation, self._tracks, self.key, self._messages))
            if self._account is not None:
                self._report_end(self._account)

    async def receive(self, message: str | bytes) -> Resume | None:
        """Handle one message. A `session.resume`, which another publisher must handle, is returned."""
        async with self._handling:
            self._received_at = self._now()
            began = bool(self._tracks)
            for result in self._protocol.receive(message):
                if isinstance(result, Resume):
                    return result
                await self._handle(result)
            if began and self.key:
                self._confirm(len(message))
        return None

    def made_to_wait(self) -> None:
        """Its socket was not read for a while."""
        self._detector.made_to_wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _confirm(self, size: int) -> None:
        self._messages += 1
        self._unconfirmed_bytes += size
        if self._unconfirmed_bytes >= CONFIRM_BYTES or self._now() - self._confirmed_at >= CONFIRM_S:
            self._unconfirmed_bytes, self._confirmed_at = 0, self._now()
            self._outbox.notify(SessionReceived(self._messages))

    async def _sockets_end(self) -> None:
        """Returns when the last socket has ended."""
        while (reading := self._reading) is not None:
            self._moved.clear()
            await asyncio.wait([reading])
            if reading is self._reading and not await self._moved_after(reading):
                return

    async def _moved_after(self, reading: asyncio.Task[SocketEnd]) -> bool:
        """Whether the session continues on another socket."""
        if self.stopping or not self.key or reading.cancelled() or reading.exception() or reading.result() != "lost":
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadlines.resume_s):
                await self._moved.wait()
        return reading is not self._reading

    async def _handle(self, result: Result) -> None:
        match result:
            case AudioChunk():
                await self._add_chunk(result)
                if len(result.pcm):
                    self.due_at = self._now() + self._deadlines.idle_s
            case Discarded():  # whose sender keeps its place, as with any media
                self.due_at = self._now() + self._deadlines.idle_s
            case Picture():
                await self._add_frame(result)
            case Started(tracks=tracks) if self._forbidden(tracks):
                message = f"This token is for tracks of {self._speaker} alone."
                self._outbox.notify(Error("forbidden", message, fatal=True))
                self._outbox.end("refused")
                self.chunks.close()
            case Started():
                self._start(result)
            case Ended():
                self.due_at = None
                self.chunks.close()
            case Error():
                self._outbox.notify(result)

    def _start(self, started: Started) -> None:
        self._tracks = tuple(track.id for track in started.tracks)
        if started.resumable and self._deadlines.resume_s > 0:
            self.key = secrets.token_urlsafe(16)
        self._outbox.notify(SessionStarted(self.conversation, self._tracks, self.key))
        self._began.set()

    def _forbidden(self, tracks: Iterable[Track]) -> bool:
        return self._speaker is not None and any(track.speaker != self._speaker for track in tracks)

    async def _session(self) -> None:
        await self._began.wait()
        try:
            if self._tracks:
                await self._join(CoalescedChunks(self.chunks))
        except RefusedError as refused:
            self.key = ""
            self._outbox.notify(Error(refused.code, str(refused), fatal=True))
            self._outbox.end(refused.code if refused.code in ("full", "too_many", "failed") else "refused")
        else:
            if self._tracks and not self.stopping:  # else it is not all that the publisher had to say
                self._end()
        finally:
            self.chunks.close()  # nothing reads it any more, so that sending to it must not wait

    def _end(self) -> None:
        protocol = self._protocol
        self._account = SessionEnded(
            self.conversation, self._received_s, self.chunks.dropped, protocol.gaps, protocol.missing_s
        )
        self._report_end(self._account)

    def _report_end(self, account: SessionEnded) -> None:
        """Only a client that then closes the socket has received it. One that has lost it may come back for it."""
        self._outbox.notify(account)
        wait_s = CLIENT_CLOSES_S if self.key else 0.0
        asyncio.get_running_loop().call_later(wait_s, self._outbox.end, "done")

    async def _add_frame(self, picture: Picture) -> None:
        """Decode it, to be attached to the next chunk of its speaker."""
        try:
            if self._timeouts >= MAX_TIMEOUTS:
                raise PictureError("Pictures of this session took too long to decode: no more are accepted.")
            if (wait_s := self._picture_rate()) > 0:
                await asyncio.sleep(wait_s)
                self.made_to_wait()
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
        self._stored_s[chunk.track.id] -= duration_s
        frames = tuple(self._frames.pop(chunk.track.id, ()))
        if frames or upload:
            chunk = replace(chunk, frames=frames, realtime=not upload)
        if upload:
            with suppress(ChannelClosedError):
                await self.chunks.send(chunk)
            self.made_to_wait()
        elif self._stored_s[chunk.track.id] > 0:
            with suppress(ChannelClosedError):
                await self.chunks.send(chunk)
        elif not self.chunks.closed and not self.chunks.offer(chunk):
            self._report_drops()

    def _report_drops(self) -> None:
        """At 1, 2, 4, 8, … chunks: early, and never too often."""
        dropped = self.chunks.dropped
        if dropped >= self._report_drops_at:
            self._report_drops_at = 2 * dropped
            text = f"The engine is behind live: {dropped} of the oldest chunks have been dropped so far."
            self._outbox.notify(Error("audio_dropped", text))

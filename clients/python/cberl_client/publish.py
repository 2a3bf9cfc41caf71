"""`publish_audio`: sends audio of one or more speakers and yields the engine's messages. Survives lost connections."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from cberl_client.address import connect_options, socket_url
from cberl_client.backoff import Backoff
from cberl_client.errors import ClientError, ConnectionLostError, RefusedError
from cberl_client.events import Error, Message, SessionEnded, SessionReceived, SessionStarted, decode
from cberl_client.media import Audio, Captions, put_media
from cberl_client.resume_cursor import ResumeCursor
from cberl_client.send_buffer import SendBuffer

# So a connection that is dead is given up before the engine gives up the session, by default after 30 s.
PINGS = {"ping_interval": 5.0, "ping_timeout": 10.0, "close_timeout": 2.0}

log = logging.getLogger(__name__)


async def publish_audio(
    url: str,
    conversation: str,
    audio: Mapping[str, Audio],
    *,
    sample_rate: int = 16_000,
    start_s: float = 0.0,
    captions: Mapping[str, Captions] | None = None,
    resume_s: float = 60.0,
    backoff: Backoff | None = None,
    token: str | None = None,
    **options: Any,
) -> AsyncGenerator[Message, None]:
    """Send one track per speaker; yield every message of the engine, `SessionEnded` last.

    `audio` maps a speaker to mono samples: bytes (pcm_s16le), an int16 or float array, or, for live audio, an async
    iterator of such pieces. Media time starts at `start_s` seconds and follows the samples; after a gap, a live piece
    is `(media time, samples)`. Arrays of several speakers are sent interleaved by media time. `captions` replace speech
    to text: for each speaker, in order, or for live ones as an async iterator. `token` is one of `cberl token`; without
    it, that of the environment variable CBERL_TOKEN. `options` are those of `websockets.connect`.

    When the connection is lost, others are tried for `resume_s`, also from another address, and the session continues
    there: what the engine has not received is sent again, and no message is yielded twice. Live audio is kept
    meanwhile, up to 4 MB; then it is no longer taken from its iterator. With `resume_s=0`, a lost connection is final.

    Raises RefusedError where the engine refuses the request; ConnectionLostError where it cannot be reached, or no
    longer has the session, which does not affect what it has received before; ClientError where samples are not audio,
    or captions have no audio.
    """
    captions = captions or {}
    if strangers := captions.keys() - audio.keys():
        names = ", ".join(sorted(strangers))
        raise ClientError(f"Captions need audio of the same speaker, which is missing for {names}.")
    tracks = {speaker: f"audio-{n + 1}" for n, speaker in enumerate(audio)}
    session = _Session(
        url,
        conversation,
        _session_start(tracks, sample_rate, captions, resumable=resume_s > 0),
        connect_options(token, options),
    )
    producing = put_media(session.buffer, audio, captions, tracks, sample_rate, start_s)
    producer = asyncio.create_task(producing, name="publish_audio")
    try:
        async with aclosing(_resumed(session, producer, resume_s, backoff or Backoff(0.2, 2.0))) as messages:
            async for message in messages:
                yield message
    finally:
        producer.cancel()
        await asyncio.wait([producer])


def _session_start(
    tracks: Mapping[str, str], sample_rate: int, captions: Mapping[str, Captions], *, resumable: bool
) -> str:
    form = {"kind": "audio", "codec": "pcm_s16le", "sample_rate": sample_rate, "channels": 1}
    described = [
        {"id": track, "speaker": speaker, "captions": speaker in captions, **form} for speaker, track in tracks.items()
    ]
    return json.dumps({"type": "session.start", "tracks": described, "resumable": resumable})


async def _resumed(
    session: "_Session", producer: asyncio.Task[None], resume_s: float, backoff: Backoff
) -> AsyncGenerator[Message, None]:
    """The messages of one connection after the other, until the session has ended."""
    give_up_at: float | None = None
    while not session.ended:
        try:
            async with aclosing(session.connected(producer)) as messages:
                async for message in messages:
                    backoff.reset()
                    give_up_at = None
                    yield message
        except ConnectionLostError as error:
            now = asyncio.get_running_loop().time()
            give_up_at = give_up_at or now + resume_s
            if not session.key or now >= give_up_at:
                raise
            log.info("%s", error)
            await asyncio.sleep(backoff.next_s())


class _Session:
    """One session, on one connection after the other. `key`: with which it continues; "" where it cannot."""

    def __init__(self, url: str, conversation: str, start: str, options: dict[str, Any]) -> None:
        self.buffer = SendBuffer()
        self.key = ""
        self.ended = False
        self._url = url
        self._conversation = conversation
        self._start = start
        self._options = PINGS | options
        self._longest_s = (self._options["ping_interval"] or 0.0) + (self._options["ping_timeout"] or 0.0) or None
        self._cursor = ResumeCursor(conversation)

    async def connected(self, producer: asyncio.Task[None]) -> AsyncGenerator[Message, None]:
        """The news of one connection. Raises what `publish_audio` does, and what `producer` raises."""
        asked = {"conversation": self._conversation, "resume_from_seq": self._cursor.last_seq}
        try:
            async with connect(socket_url(self._url, "/ingest", **asked), **self._options) as socket:
                resume = json.dumps({"type": "session.resume", "resume": self.key})
                await socket.send(resume if self.key else self._start)
                async with _owned_tasks() as tasks:
                    while not self.ended:
                        message = await _received(socket, [producer, *tasks])
                        resumed = isinstance(message, SessionStarted) and bool(self.key)
                        if isinstance(message, SessionStarted):
                            self._keep(message)
                            sending = self.buffer.send(_Sending(socket, self._longest_s), message.messages)
                            tasks.append(asyncio.create_task(sending, name="publish_audio sender"))
                        for news in () if resumed else self._news(message):
                            yield news
        except ConnectionClosed as closed:
            raise ConnectionLostError(f"{self._url} closed the connection: {closed}.") from closed
        except (OSError, TimeoutError, WebSocketException) as error:
            raise ConnectionLostError(f"{self._url} cannot be reached: {error}.") from error

    def _keep(self, started: SessionStarted) -> None:
        self.key = started.resume
        if self.key:
            self.buffer.keep()

    def _news(self, message: Message) -> tuple[Message, ...]:
        if isinstance(message, SessionReceived):
            self.buffer.confirm(message.messages)
            return ()
        if isinstance(message, Error) and message.code == "unknown_session":
            self.key = ""
            raise ConnectionLostError(f"{self._url} no longer has the session: {message.message}")
        if isinstance(message, Error) and message.fatal and not (self.key and message.code == "too_many"):
            raise RefusedError(message.code, message.message)
        self.ended = isinstance(message, SessionEnded)
        return self._cursor.take(message)


class _Sending:
    """A socket whose `send` raises TimeoutError: while one waits, `websockets` sends no pings that could time out."""

    def __init__(self, socket: ClientConnection, longest_s: float | None) -> None:
        self._socket = socket
        self._longest_s = longest_s

    async def send(self, message: str | bytes, /) -> None:
        async with asyncio.timeout(self._longest_s):
            await self._socket.send(message)


@asynccontextmanager
async def _owned_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Cancelled at the end."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _received(socket: ClientConnection, working: list[asyncio.Task[None]]) -> Message:
    """The next message. Raises the error of a task if one fails first."""
    receiver = asyncio.create_task(socket.recv(), name="publish_audio receiver")
    try:
        await asyncio.wait([receiver, *(it for it in working if not it.done())], return_when=asyncio.FIRST_COMPLETED)
        for task in working:
            # Where the connection is lost, the engine's last message explains why.
            if task.done() and (error := task.exception()) and not isinstance(error, ConnectionClosed):
                raise error
        return decode(await receiver)
    finally:
        receiver.cancel()

"""`publish_audio`: sends audio of one or more speakers and yields the engine's messages."""

import asyncio
import heapq
import json
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from cberl_client.address import connect_options, socket_url
from cberl_client.errors import ClientError, ConnectionLostError, RefusedError
from cberl_client.events import Error, Message, SessionEnded, decode
from cberl_client.pcm import Pcm, frame, pieces

Audio = Pcm | AsyncIterable[Pcm | tuple[float, Pcm]]


@dataclass(frozen=True, slots=True)
class Caption:
    """The words from `start_s` to `end_s` of media time. `confidence` in 0..1, or None if unknown."""

    start_s: float
    end_s: float
    text: str
    language: str = ""
    confidence: float | None = None


Captions = Iterable[Caption] | AsyncIterable[Caption]


async def publish_audio(
    url: str,
    conversation: str,
    audio: Mapping[str, Audio],
    *,
    sample_rate: int = 16_000,
    start_s: float = 0.0,
    captions: Mapping[str, Captions] | None = None,
    token: str | None = None,
    **options: Any,
) -> AsyncGenerator[Message, None]:
    """Send one track per speaker; yield every message of the engine, `SessionEnded` last.

    `audio` maps a speaker to mono samples: bytes (pcm_s16le), an int16 or float array, or, for live audio, an async
    iterator of such pieces. Media time starts at `start_s` seconds and follows the samples; after a gap, a live piece
    is `(media time, samples)`. Arrays of several speakers are sent interleaved by media time. `captions` replace speech
    to text: for each speaker, in order, or for live ones as an async iterator. `token` is one of `cberl token`; without
    it, that of the environment variable CBERL_TOKEN. `options` are those of `websockets.connect`.

    Raises RefusedError where the engine refuses the request; ConnectionLostError where the connection is lost, which
    does not affect what was sent before; ClientError where samples are not audio, or captions have no audio.
    """
    captions = captions or {}
    if strangers := captions.keys() - audio.keys():
        names = ", ".join(sorted(strangers))
        raise ClientError(f"Captions need audio of the same speaker, which is missing for {names}.")
    tracks = {speaker: f"audio-{n + 1}" for n, speaker in enumerate(audio)}
    address = socket_url(url, "/ingest", conversation=conversation)
    try:
        async with connect(address, **connect_options(token, options)) as socket:
            await socket.send(_session_start(tracks, sample_rate, captions))
            sending = _send(socket, audio, captions, tracks, sample_rate, start_s)
            sender = asyncio.create_task(sending, name="publish_audio")
            try:
                while True:
                    message = await _received(socket, sender)
                    yield message
                    if isinstance(message, SessionEnded):
                        return
            finally:
                sender.cancel()
                await asyncio.wait([sender])
    except ConnectionClosed as closed:
        raise ConnectionLostError(f"{url} closed the connection: {closed}.") from closed
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConnectionLostError(f"{url} cannot be reached: {error}.") from error


async def _received(socket: ClientConnection, sender: asyncio.Task[None]) -> Message:
    """The next message. Raises the sender's error if it fails first."""
    receiver = asyncio.create_task(socket.recv(), name="publish_audio receiver")
    try:
        if not sender.done():
            await asyncio.wait([receiver, sender], return_when=asyncio.FIRST_COMPLETED)
        if sender.done() and not receiver.done() and (error := sender.exception()):
            if isinstance(error, ConnectionClosed):  # the engine's last message explains why
                await asyncio.wait([receiver])
            else:
                raise error
        message = decode(await receiver)
    finally:
        receiver.cancel()
    if isinstance(message, Error) and message.fatal:
        raise RefusedError(message.code, message.message)
    return message


def _session_start(tracks: Mapping[str, str], sample_rate: int, captions: Mapping[str, Captions]) -> str:
    form = {"kind": "audio", "codec": "pcm_s16le", "sample_rate": sample_rate, "channels": 1}
    described = [
        {"id": track, "speaker": speaker, "captions": speaker in captions, **form} for speaker, track in tracks.items()
    ]
    return json.dumps({"type": "session.start", "tracks": described})


async def _send(
    socket: ClientConnection,
    audio: Mapping[str, Audio],
    captions: Mapping[str, Captions],
    tracks: Mapping[str, str],
    sample_rate: int,
    start_s: float,
) -> None:
    recorded = [
        _spoken(tracks[name], one, sample_rate, start_s)
        for name, one in audio.items()
        if not isinstance(one, AsyncIterable)
    ]
    recorded += [_read(tracks[name], one) for name, one in captions.items() if not isinstance(one, AsyncIterable)]
    live: list[Coroutine[Any, Any, None]] = [
        _send_live(socket, tracks[name], one, sample_rate, start_s)
        for name, one in audio.items()
        if isinstance(one, AsyncIterable)
    ]
    live += [
        _caption_live(socket, tracks[name], one) for name, one in captions.items() if isinstance(one, AsyncIterable)
    ]
    tasks = [asyncio.create_task(one) for one in live]
    try:
        for _, _, message in heapq.merge(*recorded, key=lambda it: it[:2]):
            await socket.send(message)
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    await socket.send(json.dumps({"type": "session.end"}))


def _spoken(track: str, pcm: Pcm, sample_rate: int, start_s: float) -> Iterator[tuple[float, str, str | bytes]]:
    for media_s, payload in pieces(pcm, start_s, sample_rate):
        yield media_s, track, frame(track, media_s, payload)


def _read(track: str, captions: Iterable[Caption]) -> Iterator[tuple[float, str, str | bytes]]:
    """Captions, each at the end of its audio."""
    for caption in captions:
        yield caption.end_s, track, _message(track, caption)


def _message(track: str, caption: Caption) -> str:
    return json.dumps({"type": "caption", "track": track, **asdict(caption)})


async def _caption_live(socket: ClientConnection, track: str, captions: AsyncIterable[Caption]) -> None:
    async for caption in captions:
        await socket.send(_message(track, caption))


async def _send_live(
    socket: ClientConnection, track: str, source: AsyncIterable[Any], sample_rate: int, start_s: float
) -> None:
    media_s = start_s
    async for piece in source:
        if isinstance(piece, tuple):
            media_s, piece = piece
        for at_s, payload in pieces(piece, media_s, sample_rate):
            await socket.send(frame(track, at_s, payload))
            media_s = at_s + len(payload) / 2 / sample_rate

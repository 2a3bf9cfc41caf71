"""What a publisher sends after session.start, in order: frames of recorded and live audio, and captions."""

import asyncio
import heapq
import json
from collections.abc import AsyncIterable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cberl_client.pcm import Pcm, frame, pieces
from cberl_client.send_buffer import SendBuffer

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


async def put_media(
    buffer: SendBuffer,
    audio: Mapping[str, Audio],
    captions: Mapping[str, Captions],
    tracks: Mapping[str, str],
    sample_rate: int,
    start_s: float,
) -> None:
    """Put all of it into the buffer, and session.end at the end. Raises ClientError."""
    recorded = [
        _spoken(tracks[name], one, sample_rate, start_s)
        for name, one in audio.items()
        if not isinstance(one, AsyncIterable)
    ]
    recorded += [_read(tracks[name], one) for name, one in captions.items() if not isinstance(one, AsyncIterable)]
    live: list[Coroutine[Any, Any, None]] = [
        _send_live(buffer, tracks[name], one, sample_rate, start_s)
        for name, one in audio.items()
        if isinstance(one, AsyncIterable)
    ]
    live += [
        _caption_live(buffer, tracks[name], one) for name, one in captions.items() if isinstance(one, AsyncIterable)
    ]
    tasks = [asyncio.create_task(one) for one in live]
    try:
        for _, _, message in heapq.merge(*recorded, key=lambda it: it[:2]):
            await buffer.put(message)
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    await buffer.put(json.dumps({"type": "session.end"}))
    buffer.close()


def _spoken(track: str, pcm: Pcm, sample_rate: int, start_s: float) -> Iterator[tuple[float, str, str | bytes]]:
    for media_s, payload in pieces(pcm, start_s, sample_rate):
        yield media_s, track, frame(track, media_s, payload)


def _read(track: str, captions: Iterable[Caption]) -> Iterator[tuple[float, str, str | bytes]]:
    """Captions, each at the end of its audio."""
    for caption in captions:
        yield caption.end_s, track, _message(track, caption)


def _message(track: str, caption: Caption) -> str:
    return json.dumps({"type": "caption", "track": track, **asdict(caption)})


async def _caption_live(buffer: SendBuffer, track: str, captions: AsyncIterable[Caption]) -> None:
    async for caption in captions:
        await buffer.put(_message(track, caption))


async def _send_live(
    buffer: SendBuffer, track: str, source: AsyncIterable[Any], sample_rate: int, start_s: float
) -> None:
    media_s = start_s
    async for piece in source:
        if isinstance(piece, tuple):
            media_s, piece = piece
        for at_s, payload in pieces(piece, media_s, sample_rate):
            await buffer.put(frame(track, at_s, payload))
            media_s = at_s + len(payload) / 2 / sample_rate

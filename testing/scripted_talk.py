"""Conversations in this process with real models: media from lists, words from captions."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.delivery.wire import decode
from engine.events import EmotionEvent, Event
from engine.media import AudioChunk, Caption, ChunkSource, PullSource, Track
from engine.server.supervisor import Supervisor, open_supervisor
from testing.bundled_whisper import require_whisper
from testing.live_engine import SCRIPT, demo

STEP_S = 0.1


@asynccontextmanager
async def running(**flags: Any) -> AsyncIterator[Supervisor]:
    require_whisper()
    settings = Settings(whisper_model="tiny.en", **{"interim_ms": 0, "stats_s": 3600.0, "rejoin_grace_s": 0} | flags)
    async with open_supervisor(settings) as supervisor:
        yield supervisor


def turn(number: int) -> Float32:
    """A turn of the demo, counted from 1, with 0.1 s of silence on both sides."""
    it = SCRIPT.turns[number - 1]
    channel = SCRIPT.speakers.index(it.speaker)
    return demo()[channel, round((it.start_s - 0.1) * SAMPLE_RATE) : round((it.end_s + 0.1) * SAMPLE_RATE)]


def quiet(seconds: float) -> Float32:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def chunks(
    pcm: Float32, speaker: str = "maya", *, text: str | None = None, at_s: float = 0.0, named: bool = True
) -> list[AudioChunk]:
    """Chunks of 0.1 s; `text` is sent as a caption for all of them."""
    others = "" if named else speaker.removesuffix("-1")
    track = Track("audio-1", speaker, captioned=text is not None, named=named, numbered_from=others)
    step = round(STEP_S * SAMPLE_RATE)
    found = [AudioChunk(track, at_s + n / SAMPLE_RATE, pcm[n : n + step]) for n in range(0, len(pcm), step)]
    if text is not None:
        first, *_, last = np.flatnonzero(pcm) / SAMPLE_RATE
        its = int(last / STEP_S)  # the caption comes with the last sound
        found[its] = replace(found[its], captions=(Caption(at_s + first, at_s + last, text),))
    return found


def arriving(media: list[AudioChunk], at: float, speed: float = 1.0) -> list[AudioChunk]:
    """The same chunks, arriving from time `at` on, from a sender whose clock runs at `speed`."""
    begins_s = media[0].start_s
    return [replace(it, arrived_at=at + (it.end_s - begins_s) / speed) for it in media]


class Source:
    """Media of one publisher, each piece when it is asked for."""

    def __init__(self, media: list[AudioChunk], dropped: int = 0) -> None:
        self.dropped = dropped
        self._media = media

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        for chunk in self._media:
            yield chunk


class Together:
    """Media of several publishers, yielded in the order of arrival across all of them."""

    def __init__(self, *media: list[AudioChunk]) -> None:
        self._media = media
        self._next = [it[0].arrived_at for it in media]
        self._moved = asyncio.Condition()

    def sources(self) -> list[PullSource]:
        return [PullSource(self._source(n)) for n in range(len(self._media))]

    async def _source(self, n: int) -> AsyncIterator[AudioChunk]:
        for chunk in self._media[n]:
            async with self._moved:
                self._next[n] = chunk.arrived_at
                self._moved.notify_all()
                await self._moved.wait_for(lambda: self._next[n] <= min(self._next))
            yield chunk
        async with self._moved:
            self._next[n] = float("inf")
            self._moved.notify_all()


async def talk(
    supervisor: Supervisor, *sources: ChunkSource, live: bool = True, conversation: str = "talk"
) -> list[Event]:
    """All events of a conversation with these sources, in the order of their numbers."""
    subscription = supervisor.hub.subscribe(conversation, with_snapshot=False)

    async def listen() -> list[Event]:
        return [decode(text)[1] async for _, text in subscription]  # type: ignore[misc]

    async with asyncio.TaskGroup() as tasks:
        heard = tasks.create_task(listen())
        publishing = [tasks.create_task(supervisor.join(conversation, it, live=live)) for it in sources]
        await asyncio.gather(*publishing)
        subscription.end("done")
    return heard.result()


def emotions(events: list[Event]) -> list[EmotionEvent]:
    return [it for it in events if isinstance(it, EmotionEvent)]


def idle() -> bool:
    """Whether no turn is being processed."""
    return not any(task.get_name().startswith(("interim ", "analyze ")) for task in asyncio.all_tasks())


def now() -> float:
    """The clock of `arrived_at`."""
    return time.monotonic()

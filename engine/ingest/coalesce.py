"""Joins the chunks that wait in a channel, so that a pipeline that is behind catches up. Without a queue, no delay."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import numpy as np

from cberl.types import SAMPLE_RATE
from engine.media import AudioChunk
from engine.runtime.channel import Channel

MAX_SAMPLES = SAMPLE_RATE // 2


class CoalescedChunks:
    """The chunks of each track in order; contiguous ones that wait are joined, up to 0.5 s."""

    def __init__(self, chunks: Channel[AudioChunk]) -> None:
        self._chunks = chunks

    @property
    def dropped(self) -> int:
        """Chunks that were dropped from the channel."""
        return self._chunks.dropped

    def __len__(self) -> int:
        """Chunks that wait."""
        return len(self._chunks)

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        async for first in self._chunks:
            runs = {first.track.id: [first]}  # of the tracks, by their first chunk
            while (following := self._chunks.take()) is not None:
                run = runs.setdefault(following.track.id, [])
                if run and not _continues(run, following):
                    for joined in _joined(runs):
                        yield joined
                    run = runs[following.track.id] = []
                run.append(following)
            for joined in _joined(runs):
                yield joined


def _continues(run: list[AudioChunk], following: AudioChunk) -> bool:
    last = run[-1]
    contiguous = len(following.pcm) and abs(following.start_s - last.end_s) < 0.5 / SAMPLE_RATE
    alike = (following.track, following.realtime) == (last.track, last.realtime)
    return bool(contiguous and alike and sum(len(it.pcm) for it in [*run, following]) <= MAX_SAMPLES)


def _joined(runs: dict[str, list[AudioChunk]]) -> Iterable[AudioChunk]:
    """One chunk per track, which arrived when its end did. Empties `runs`."""
    joined = [_join(run) for run in runs.values()]
    runs.clear()
    return joined


def _join(run: list[AudioChunk]) -> AudioChunk:
    if len(run) == 1:
        return run[0]
    return replace(
        run[-1],
        start_s=run[0].start_s,
        pcm=np.concatenate([chunk.pcm for chunk in run]),
        frames=tuple(frame for chunk in run for frame in chunk.frames),
        captions=tuple(caption for chunk in run for caption in chunk.captions),
    )

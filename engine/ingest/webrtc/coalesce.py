"""Joins the chunks that wait in a channel, so that a pipeline that is behind catches up. Without a queue, no delay."""

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np

from cberl.types import SAMPLE_RATE
from engine.media import AudioChunk
from engine.runtime.channel import Channel

MAX_SAMPLES = SAMPLE_RATE // 2


class CoalescedChunks:
    """The chunks of one track in order; contiguous ones that wait are joined, up to 0.5 s."""

    def __init__(self, chunks: Channel[AudioChunk]) -> None:
        self._chunks = chunks

    @property
    def dropped(self) -> int:
        """Chunks that were dropped from the channel."""
        return self._chunks.dropped

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        async for first in self._chunks:
            run, samples = [first], len(first.pcm)
            while (following := self._chunks.take()) is not None:
                contiguous = len(following.pcm) and abs(following.start_s - run[-1].end_s) < 0.5 / SAMPLE_RATE
                if not contiguous or samples + len(following.pcm) > MAX_SAMPLES:
                    yield _joined(run)
                    run, samples = [], 0
                run.append(following)
                samples += len(following.pcm)
            yield _joined(run)


def _joined(run: list[AudioChunk]) -> AudioChunk:
    if len(run) == 1:
        return run[0]
    return replace(
        run[0],
        pcm=np.concatenate([chunk.pcm for chunk in run]),
        frames=tuple(frame for chunk in run for frame in chunk.frames),
        captions=tuple(caption for chunk in run for caption in chunk.captions),
    )

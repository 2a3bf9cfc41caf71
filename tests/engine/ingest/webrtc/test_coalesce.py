import asyncio

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from engine.ingest.webrtc.coalesce import CoalescedChunks
from engine.media import AudioChunk, Track
from engine.runtime.channel import Channel

MIC = Track("mic", "alice")


def chunk(start_s: float, samples: int = 320) -> AudioChunk:
    return AudioChunk(MIC, start_s, np.full(samples, start_s, np.float32))


def test_waiting_chunks_are_joined_where_they_are_contiguous() -> None:
    async def main() -> list[AudioChunk]:
        channel: Channel[AudioChunk] = Channel(200)
        waiting = [chunk(n * 0.02) for n in range(60)] + [chunk(5.0), chunk(6.0, samples=0), chunk(6.0)]
        for one in waiting:
            channel.offer(one)
        channel.close()
        out = [one async for one in CoalescedChunks(channel)]
        whole = np.concatenate([one.pcm for one in waiting])
        np.testing.assert_array_equal(np.concatenate([one.pcm for one in out]), whole)
        return out

    out = asyncio.run(main())
    assert [one.start_s for one in out] == pytest.approx([0.0, 0.5, 1.0, 5.0, 6.0])
    assert max(len(one.pcm) for one in out) <= SAMPLE_RATE // 2


def test_a_consumer_that_keeps_up_receives_each_packet_at_once() -> None:
    async def main() -> None:
        channel: Channel[AudioChunk] = Channel(200)
        source = aiter(CoalescedChunks(channel))
        for n in range(5):
            channel.offer(chunk(n * 0.02))
            assert (await anext(source)).start_s == n * 0.02

    asyncio.run(main())


def test_chunks_lost_while_they_waited_are_counted() -> None:
    channel: Channel[AudioChunk] = Channel(2)
    for n in range(5):
        channel.offer(chunk(n * 0.02))
    assert CoalescedChunks(channel).dropped == 3

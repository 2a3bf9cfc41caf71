import asyncio
from dataclasses import replace

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from engine.ingest.coalesce import CoalescedChunks
from engine.media import AudioChunk, Track
from engine.runtime.channel import Channel

MIC, OTHER = Track("mic", "alice"), Track("other", "bob")


def chunk(start_s: float, samples: int = 320, track: Track = MIC) -> AudioChunk:
    return AudioChunk(track, start_s, np.full(samples, start_s, np.float32), arrived_at=start_s + samples / SAMPLE_RATE)


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


def test_tracks_of_one_publisher_are_joined_each_on_its_own() -> None:
    async def main() -> list[AudioChunk]:
        channel: Channel[AudioChunk] = Channel(200)
        for n in range(30):
            channel.offer(chunk(n * 0.02))
            channel.offer(chunk(n * 0.02, track=OTHER))
        channel.close()
        return [one async for one in CoalescedChunks(channel)]

    out = asyncio.run(main())
    for track in (MIC, OTHER):
        first, second = (one for one in out if one.track == track)
        assert (first.start_s, second.start_s) == pytest.approx((0.0, 0.5))
        assert (first.arrived_at, second.arrived_at) == pytest.approx((0.5, 0.6))  # when the last sample arrived
        assert len(first.pcm) + len(second.pcm) == 30 * 320


def test_live_media_is_not_joined_with_an_upload() -> None:
    async def main() -> list[AudioChunk]:
        channel: Channel[AudioChunk] = Channel(200)
        channel.offer(chunk(0.0))
        channel.offer(replace(chunk(0.02), realtime=False))
        channel.close()
        return [one async for one in CoalescedChunks(channel)]

    assert [one.realtime for one in asyncio.run(main())] == [True, False]


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

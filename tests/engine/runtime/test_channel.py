import asyncio

import pytest

from engine.runtime.channel import Channel, ChannelClosedError


def test_send_waits_for_room_and_loses_nothing() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(2)
        longest = 0

        async def source() -> None:
            nonlocal longest
            for n in range(100):
                await channel.send(n)
                longest = max(longest, len(channel))
            channel.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source())
            received = [n async for n in channel]
        assert received == list(range(100))
        assert longest == 2
        assert channel.dropped == 0

    asyncio.run(main())


def test_offer_drops_the_oldest_and_counts() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(3)
        assert [channel.offer(n) for n in range(5)] == [True, True, True, False, False]
        channel.close()
        assert not channel.offer(5)
        assert [n async for n in channel] == [2, 3, 4]
        assert channel.dropped == 3

    asyncio.run(main())


def test_close_wakes_all_waiters() -> None:
    async def main() -> None:
        empty: Channel[int] = Channel(1)
        full: Channel[int] = Channel(1)
        full.offer(1)
        receiver = asyncio.ensure_future(anext(aiter(empty), None))
        sender = asyncio.ensure_future(full.send(2))
        await asyncio.sleep(0)
        empty.close()
        full.close()
        assert await receiver is None
        with pytest.raises(ChannelClosedError):
            await sender
        assert [n async for n in full] == [1]

    asyncio.run(main())


def test_a_cancelled_receiver_loses_no_item() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(1)
        waiting = asyncio.ensure_future(anext(aiter(channel)))
        await asyncio.sleep(0)
        channel.offer(7)
        waiting.cancel()
        await asyncio.wait([waiting])
        channel.close()
        assert [n async for n in channel] == [7]

    asyncio.run(main())

import asyncio

from cberl_client.send_buffer import SendBuffer


class Wire:
    def __init__(self) -> None:
        self.sent: list[str | bytes] = []

    async def send(self, message: str | bytes, /) -> None:
        self.sent.append(message)


async def until_it_waits() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_is_not_confirmed_is_sent_again_in_order_and_no_more_than_fits() -> None:
    async def main() -> None:
        buffer = SendBuffer(most_bytes=50, ahead_bytes=20)
        buffer.keep()
        first, second = Wire(), Wire()
        async with asyncio.TaskGroup() as tasks:

            async def produce() -> None:
                for number in range(9):
                    await buffer.put(str(number) * 10)
                buffer.close()

            producing = tasks.create_task(produce())
            sending = tasks.create_task(buffer.send(first, 0))
            await until_it_waits()
            assert (len(first.sent), producing.done()) == (2, False)  # 20 bytes are under way, 50 are kept
            buffer.confirm(1)
            await until_it_waits()
            assert len(first.sent) == 3
            sending.cancel()
            await asyncio.wait([sending])
            tasks.create_task(buffer.send(second, 2))  # the engine had one more than it has confirmed
            for number in range(2, 10):
                await until_it_waits()
                buffer.confirm(number)
        assert second.sent == [str(number) * 10 for number in range(2, 9)]

    asyncio.run(main())

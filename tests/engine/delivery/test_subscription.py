import asyncio

from hypothesis import given
from hypothesis import strategies as st

from engine.delivery.subscription import Entry, Subscription

# An event is published, and its direct sending accepted or refused; or other tasks run.
STEPS = st.lists(st.sampled_from(["accept", "refuse", "run others"]), max_size=30)


@given(STEPS)
def test_events_sent_directly_and_from_the_queue_keep_their_order(steps):
    async def main():
        subscription = Subscription(len(steps), on_end=lambda it: None)
        sent = []
        accepting = False

        def send_now(text):
            if accepting:
                sent.append(text)
            return accepting

        async def reader():
            async for _, text in subscription:
                await asyncio.sleep(0)  # as a socket that is not writable
                sent.append(text)

        subscription.send_directly(send_now)
        published = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reader())
            for step in steps:
                if step == "run others":
                    await asyncio.sleep(0)
                else:
                    accepting = step == "accept"
                    published.append(f"event {len(published)}")
                    subscription.push(Entry(0, published[-1]))
            subscription.end("done")
        assert sent == published

    asyncio.run(main())

"""Subscribers receive every event once, however often they reconnect, and do not slow each other down."""

import asyncio
import gc
import json
import tracemalloc
from contextlib import AsyncExitStack

from testing.counting import rest, running, seqs, until, utterance, ws


def test_a_subscriber_that_reconnects_misses_nothing():
    async def main():
        async with running(replay_events=10) as (engine, url):
            async with ws(url, "/events?conversation=demo") as client:
                engine.hub.publish(utterance())
                last_seq = (await until(client, "emotion"))["seq"]
            for _ in range(8):
                engine.hub.publish(utterance())
            async with ws(url, f"/events?conversation=demo&resume_from_seq={last_seq}") as client:
                assert (await until(client, "snapshot"))["last_seq"] == 10
                assert [json.loads(await client.recv())["seq"] for _ in range(8)] == list(range(3, 11))
                assert engine.hub.publish(utterance()) == json.loads(await client.recv())["seq"] == 11
            async with ws(url, "/events?conversation=demo&resume_from_seq=99") as client:
                assert (await until(client, "resync"))["last_seq"] == 1

    asyncio.run(main())


def test_an_event_is_written_before_publish_returns_where_the_subscriber_has_all_earlier_ones():
    async def main():
        async with running() as (engine, url), ws(url, "/events?conversation=demo") as client:
            await until(client, "snapshot")
            (subscription,) = engine.hub.subscriptions
            for text in ("one", "two \N{SNOWMAN}", "x" * 300, "x" * 70_000):  # frames with each form of the length
                engine.hub.publish(utterance(text=text))
                assert subscription.waiting == 0
                assert (await until(client, "emotion"))["text"] == text

    asyncio.run(main())


def test_a_subscriber_that_does_not_read_is_disconnected_and_another_gets_all():
    async def main():
        async with running(subscriber_queue=4) as (engine, url):
            quick = ws(url, "/events?conversation=demo", max_size=None)
            slow = ws(url, "/events?conversation=demo", max_size=None, max_queue=1)
            async with quick as quick, slow as slow:
                long = "x" * 1_000_000  # soon more than the buffers of the sockets hold
                published = 0
                while len(engine.hub._topics["demo"].subscriptions if published else "12") == 2:
                    engine.hub.publish(utterance(text=long))
                    published += 1
                    await until(quick, "emotion")
                engine.hub.publish(utterance(text="last"))
                assert (await until(quick, "emotion"))["seq"] == published + 2
                received, code, reason = await rest(slow)
                assert (code, reason) == (1013, "too slow: resume from the last seq you have")
                assert seqs(received) == list(range(1, len(seqs(received)) + 1))
                assert len(seqs(received)) < published

    asyncio.run(main())


def test_a_stalled_subscriber_does_not_delay_others_and_memory_stays_bounded():
    """256 MB are sent. Each event is published only when all other subscribers have the previous one."""
    queue, ring, size = 4, 4, 1 << 20

    async def main():
        async with running(subscriber_queue=queue, replay_events=ring) as (engine, url), AsyncExitStack() as stack:
            path = "/events?conversation=demo"
            others = [await stack.enter_async_context(ws(url, path, max_size=None)) for _ in range(3)]
            stalled = await stack.enter_async_context(ws(url, path, max_size=None, max_queue=1))
            engine.hub.open("demo")
            for other in others:
                await until(other, "conversation.started")
            subscriptions = set(engine.hub._topics["demo"].subscriptions)
            most_waiting = most_bytes = 0
            gc.collect()
            tracemalloc.start()
            try:
                for _ in range(256):
                    seq = engine.hub.publish(utterance(text="x" * size))
                    for other in others:
                        assert (await until(other, "emotion"))["seq"] == seq
                    most_waiting = max(most_waiting, *(len(it._waiting) for it in subscriptions))
                    most_bytes = max(most_bytes, tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            assert [it.reason for it in subscriptions].count("slow") == 1
            assert most_waiting <= queue
            # The replay buffer, the queue, and the buffers of four sockets and their clients.
            assert most_bytes < (ring + queue + 4 * 8) * size
            received, code, _ = await rest(stalled)
            assert code == 1013
            assert seqs(received) == list(range(1, len(seqs(received)) + 1))

    asyncio.run(main())

"""Resuming over a real socket, from the replay buffer and from the log, while both change."""

import asyncio
import json

import pytest

from engine.store import replay
from testing.counting import running, seqs, until, ws
from testing.events import emotion

ROOM = "/events?conversation=demo"


async def received(url, after, last):
    """All messages up to the event of this number."""
    messages = []
    async with ws(url, f"{ROOM}&resume_from_seq={after}") as client:
        while not messages or messages[-1].get("seq") != last:
            messages.append(json.loads(await client.recv()))
    return messages


def publish(engine, numbers, **fields):
    for number in numbers:
        last = engine.hub.publish(emotion(number, **fields))
    return last


def test_events_older_than_the_replay_buffer_come_from_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "PAGE_EVENTS", 7)  # 60 events are many pages
    options = {"event_log": str(tmp_path / "log"), "replay_events": 5}

    async def first():
        async with running(**options) as (engine, url):
            last = publish(engine, range(1, 61))
            await engine.hub.flush()
            for after in (0, 2, 30, last - 5, last - 1):
                messages = await received(url, after, last)
                assert [message["type"] for message in messages].count("snapshot") == 1
                assert messages[0]["last_seq"] == last
                assert seqs(messages) == list(range(after + 1, last + 1))
            return last

    async def second(before):
        """The next run's replay buffer is empty, and its numbers continue."""
        async with running(**options) as (engine, url), ws(url, f"{ROOM}&resume_from_seq=3") as client:
            assert (await until(client, "snapshot"))["last_seq"] == before
            for seq in range(4, before + 1):
                assert json.loads(await client.recv())["seq"] == seq
            last = publish(engine, [61])
            assert seqs([json.loads(await client.recv()) for _ in (1, 2)]) == [before + 1, last]

    asyncio.run(second(asyncio.run(first())))


def test_events_published_during_a_replay_are_neither_lost_nor_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "PAGE_EVENTS", 3)

    async def main():
        async with running(event_log=str(tmp_path / "log"), replay_events=4) as (engine, url):
            publish(engine, range(1, 40))
            await engine.hub.flush()
            async with ws(url, f"{ROOM}&resume_from_seq=1") as client:
                numbers = []
                while len(numbers) < 150:
                    numbers += seqs([json.loads(await client.recv())])
                    if len(numbers) < 100:  # the replay buffer moves on while the reader is still in the log
                        last = publish(engine, [40 + len(numbers)])
                        publish(engine, [1], status="interim")
                    elif numbers[-1] >= last:
                        break
            assert numbers == sorted(set(numbers))
            assert set(numbers) >= {*range(2, 41), *range(41, last + 1, 2)}  # all but superseded events
            assert len(numbers) > 60

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["forgotten", "too_many", "not_kept", "never_reached"])
def test_a_resync_is_sent_if_the_log_lacks_the_events_too(tmp_path, monkeypatch, lost):
    if lost == "too_many":
        monkeypatch.setattr(replay, "MAX_EVENTS", 10)

    async def main():
        async with running(event_log=str(tmp_path / "log"), replay_events=3) as (engine, url):
            last = publish(engine, range(1, 20))
            await engine.hub.flush()
            if lost == "forgotten":
                await engine.hub._event_writer.call(engine.hub._event_writer.log.expire, float("inf"))
            elif lost == "not_kept":
                engine.hub._event_writer._saver.unsaved.lost_events = 1
            asked = 99 if lost == "never_reached" else 2
            async with ws(url, f"{ROOM}&resume_from_seq={asked}") as client:
                first, second, *rest = [json.loads(await client.recv()) for _ in range(5)]
            assert (first["type"], second["type"], second["last_seq"]) == ("snapshot", "resync", last - 3)
            assert seqs(rest) == [last - 2, last - 1, last]

    asyncio.run(main())


def test_a_subscriber_of_all_conversations_receives_them_live():
    async def main():
        async with running() as (engine, url):
            publish(engine, [1, 2], conversation="kitchen")
            async with ws(url, "/events?conversation=*") as client:
                assert (await until(client, "snapshot", conversation="kitchen"))["last_seq"] == 3
                publish(engine, [1], conversation="lobby")
                publish(engine, [3], conversation="kitchen")
                live = [json.loads(await client.recv()) for _ in range(3)]
                assert [(it["conversation"], it["seq"]) for it in live] == [
                    ("lobby", 1),
                    ("lobby", 2),
                    ("kitchen", 4),
                ]
            for path in ("/events?conversation=*&resume_from_seq=1", "/ingest?conversation=*"):
                async with ws(url, path) as client:
                    assert (await until(client, "error"))["fatal"]

    asyncio.run(main())

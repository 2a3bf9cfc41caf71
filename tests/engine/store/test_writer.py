import asyncio
import json
import signal
import sys
from pathlib import Path

from engine.events import SpeakerJoined
from engine.store.retention import RetentionConfig, apply_retention
from testing.event_store import history, kept
from testing.events import emotion


def test_delivered_events_are_stored_and_superseded_events_are_not(tmp_path):
    async def main():
        async with kept(tmp_path / "log", keep_text=True) as (hub, event_writer):
            subscription = hub.subscribe("demo")
            hub.publish(SpeakerJoined("demo", "alice"))
            hub.publish(emotion(1, status="interim"))
            last = hub.publish(emotion(1))
            assert subscription.take().seq == 0  # the snapshot
            assert subscription.take() is None  # not stored yet, so not delivered
            await hub.flush()
            seen = [json.loads(entry.text) for entry in iter(subscription.take, None)]
            assert [body["type"] for body in seen] == ["conversation.started", "speaker.joined", "emotion", "emotion"]
            assert [body["id"] for body in seen] == [f"demo/{seq}@r" for seq in (1, 2, 3, 4)]
            assert [body for _, body in await history(event_writer)] == [seen[0], seen[1], seen[3]]
            assert await history(event_writer, after_seq=1, limit=1) == [(2, seen[1])]
            assert hub.snapshot("demo").last_seq == last == 4

    asyncio.run(main())


def test_words_are_stored_only_if_the_settings_say_so(tmp_path):
    async def main():
        async with kept(tmp_path / "log") as (hub, event_writer):
            subscription = hub.subscribe("demo")
            hub.publish(emotion(1))
            await hub.flush()
            texts = [json.loads(entry.text).get("text") for entry in iter(subscription.take, None)]
            assert texts == [None, None, "words 1"]
            assert (await history(event_writer))[-1][1]["text"] is None

    asyncio.run(main())
    assert all(b"words" not in file.read_bytes() for file in tmp_path.iterdir())


def test_numbers_continue_after_a_clean_stop_and_never_repeat_after_a_deletion(tmp_path):
    async def run():
        async with kept(tmp_path / "log") as (hub, event_writer):
            seqs = [hub.publish(emotion(1)), hub.publish(emotion(2, status="interim"))]
            hub.close("demo")
            await hub.flush()
            return seqs, [seq for seq, _ in await history(event_writer)]

    async def forget():
        async with kept(tmp_path / "log") as (hub, event_writer):
            hub.publish(emotion(1, conversation="other"))
            assert [it.id for it in await event_writer.call(event_writer.log.conversations, 10)] == ["demo"]
            assert await event_writer.forget("demo") == 6
            assert [it.id for it in await event_writer.call(event_writer.log.conversations, 10)] == ["other"]

    assert asyncio.run(run()) == ([2, 3], [1, 2, 4])
    assert asyncio.run(run()) == ([6, 7], [1, 2, 4, 5, 6, 8])
    asyncio.run(forget())
    assert all(b"demo" not in file.read_bytes() for file in tmp_path.iterdir())
    (started, _), kept_now = asyncio.run(run())
    assert started > 8
    assert kept_now[0] == started - 1


KILLED = """
import asyncio, sys
sys.path.insert(0, {root!r})
from engine.delivery.hub import Hub
from engine.store.retention import RetentionConfig, apply_retention
from engine.store.writer import EventWriterConfig, open_event_writer
from testing.event_store import history, kept
from testing.events import emotion

async def main():
    async with open_event_writer(EventWriterConfig({path!r})) as event_writer:
        hub = Hub(event_writer=event_writer)
        async def echo():
            async for seq, text in hub.subscribe("demo"):
                print(seq, flush=True)
        asyncio.create_task(echo())
        number = 0
        while True:
            number += 1
            for status in ("interim", "interim", "final"):
                hub.publish(emotion(number, status=status))
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_a_killed_engine_has_stored_every_delivered_event(tmp_path):
    async def die_and_look():
        script = KILLED.format(root=str(Path(__file__).parents[3]), path=str(tmp_path / "log"))
        engine = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
        seen = [int(await engine.stdout.readline()) for _ in range(200)]
        engine.send_signal(signal.SIGKILL)
        seen += [int(line) for line in (await engine.stdout.read()).splitlines(keepends=True) if line.endswith(b"\n")]
        await engine.wait()
        async with kept(tmp_path / "log") as (hub, event_writer):
            found = await history(event_writer, limit=1_000_000)
            again = hub.publish(emotion(1))
        return seen[1:], found, again

    seen, found, again = asyncio.run(die_and_look())
    numbers = [seq for seq, _ in found]
    assert numbers == sorted(set(numbers))
    finals = {seq for seq in seen if seq > 1 and (seq - 1) % 3 == 0}
    assert len(finals) > 50
    assert finals <= set(numbers)
    assert again > max(seen)  # interim events of the killed run were delivered, but are not in the log


def test_events_beyond_the_limits_of_age_and_size_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.store.event_log.CHUNK", 100)
    max_bytes = 400_000

    async def size():
        async with kept(tmp_path / "log", keep_text=True) as (hub, event_writer):
            for number in range(2000):
                hub.publish(emotion(number))
            await hub.flush()
            await apply_retention(event_writer, RetentionConfig(max_bytes=max_bytes))
            assert (tmp_path / "log").stat().st_size < max_bytes + 100_000
            left = await history(event_writer, limit=10_000)
            assert [seq for seq, _ in left] == list(range(2002 - len(left), 2002))
            assert len(left) > 100

    async def age():
        async with kept(tmp_path / "log") as (_, event_writer):
            await apply_retention(event_writer, RetentionConfig(max_age_s=-1.0))
            assert await history(event_writer) == await event_writer.call(event_writer.log.conversations, 10) == []
            assert event_writer.last_seq("demo") >= 2001

    async def names():
        async with kept(tmp_path / "log") as (hub, event_writer):
            for number in range(300):
                hub.publish(emotion(1, conversation=f"room {number}"))
                hub.close(f"room {number}")
            await hub.flush()
            await apply_retention(event_writer, RetentionConfig(max_age_s=-1.0))
            assert (event_writer._limits, event_writer._reached) == ({}, {})
            assert hub.publish(emotion(1, conversation="room 299")) > 2004
        async with kept(tmp_path / "log") as (_, event_writer):
            assert list(event_writer._limits) == ["room 299"]

    asyncio.run(size())
    asyncio.run(age())
    asyncio.run(names())


def test_the_state_of_a_conversation_is_kept_until_it_ends_and_for_the_grace_period_of_a_restart(tmp_path):
    async def run(hub):
        for name in ("ended", "deleted", "stopped"):
            hub.publish(emotion(1, conversation=name), b"old")
            hub.publish(emotion(2, conversation=name), f"state of {name}".encode())
        hub.publish(emotion(1, conversation="stateless"))
        hub.close("ended")
        await hub.flush()

    async def main():
        async with kept(tmp_path / "log") as (hub, event_writer):
            await run(hub)
            hub.hold_states()
            hub.close("deleted")
            hub.close("stopped")
            await hub.flush()
            await event_writer.forget("deleted")
        async with kept(tmp_path / "log", grace_s=-60.0) as (hub, _):
            assert hub.saved_state("stopped") is None  # the engine was away for too long
        async with kept(tmp_path / "log") as (hub, event_writer):
            names = ("ended", "deleted", "stateless", "stopped", "stopped")
            assert [hub.saved_state(name) for name in names] == [None, None, None, b"state of stopped", None]
            await apply_retention(event_writer, RetentionConfig(state_age_s=-60.0))
        async with kept(tmp_path / "log") as (hub, _):
            assert hub.saved_state("stopped") is None
        async with kept("") as (hub, _):  # no event log
            assert not hub.keeps_states

    asyncio.run(main())

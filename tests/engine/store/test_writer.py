import asyncio
import json
import signal
import sqlite3
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.delivery.hub import Hub
from engine.events import SpeakerJoined
from engine.store.database import StoreError
from engine.store.retention import RetentionConfig, apply_retention
from engine.store.writer import EventWriterConfig, open_event_writer
from testing.events import emotion


@asynccontextmanager
async def kept(path, **config):
    """(hub, event writer) with this file."""
    async with open_event_writer(EventWriterConfig(str(path), **config)) as event_writer:
        yield Hub(run="r", event_writer=event_writer), event_writer


async def history(event_writer, conversation="demo", after_seq=0, limit=1000):
    found = await event_writer.call(event_writer.log.events, conversation, after_seq, limit)
    return [(seq, json.loads(text)) for seq, text in found]


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


def test_while_the_disk_fails_events_are_delivered_and_wait_in_memory_within_limits(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("engine.store.unsaved.MAX_ROWS", 3)

    def full(rows):
        raise sqlite3.OperationalError("database or disk is full")

    async def main():
        async with kept(tmp_path / "log") as (hub, event_writer):
            subscription = hub.subscribe("demo")
            with monkeypatch.context() as patch:
                patch.setattr(event_writer.log, "add", full)
                for number in range(1, 4):
                    hub.publish(emotion(number), b"state")
                    await hub.flush()
                assert [entry.seq for entry in iter(subscription.take, None)] == [0, 1, 2, 3, 4]
                assert event_writer.status == {"not_kept": 1, "unsaved": 3, "problem": "database or disk is full"}
                assert not event_writer.complete
            hub.publish(emotion(4))
            await hub.flush()
            assert event_writer.status == {"not_kept": 2, "unsaved": 0}
            assert [seq for seq, _ in await history(event_writer)] == [3, 4, 5]
            with monkeypatch.context() as patch:
                patch.setattr(event_writer.log, "add", full)
                hub.publish(emotion(5))
                await hub.flush()
                await event_writer.forget("demo")
            assert event_writer.status["unsaved"] == 0
            hub.publish(emotion(1, conversation="other"))
            await hub.flush()
            assert await history(event_writer) == []

    asyncio.run(main())
    problem, again, *_ = [record.message for record in caplog.records]
    assert problem == (
        "the event log cannot be written: database or disk is full; events are delivered, and wait in memory"
    )
    assert again == "the event log can be written again; 2 events were lost"


def test_while_the_disk_hangs_events_are_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.store.saver.DISK_S", 0.05)
    gate = threading.Event()

    async def main():
        async with kept(tmp_path / "log") as (hub, event_writer):
            subscription = hub.subscribe("demo")
            add = event_writer.log.add
            monkeypatch.setattr(event_writer.log, "add", lambda rows: (gate.wait(), add(rows)))
            for number in range(1, 3):
                hub.publish(emotion(number))
                await hub.flush()
            assert [entry.seq for entry in iter(subscription.take, None)] == [0, 1, 2, 3]
            assert "has not answered" in event_writer.status["problem"]
            gate.set()
            await event_writer.call(event_writer.log.numbers)  # after the write that hung
            hub.publish(emotion(3))
            await hub.flush()
            assert event_writer.status == {"not_kept": 0, "unsaved": 0}
            assert [seq for seq, _ in await history(event_writer)] == [1, 2, 3, 4]

    asyncio.run(main())


def test_a_log_that_was_deleted_or_moved_away_is_written_again(tmp_path):
    path = tmp_path / "log"

    async def main():
        async with kept(path) as (hub, event_writer):
            numbering = hub.numbering
            for number in range(1, 4):
                hub.publish(emotion(number), b"state")
                await hub.flush()
                path.rename(tmp_path / f"moved {number}") if number < 2 else path.unlink()
            hub.hold_states()
        async with kept(path) as (hub, event_writer):
            assert hub.numbering == numbering
            assert [seq for seq, _ in await history(event_writer)] == [1, 2, 3, 4]
            assert hub.saved_state("demo") == b"state"
            hub.publish(emotion(5))
            await hub.flush()
            path.unlink()
            path.write_text("something else")
            hub.publish(emotion(6))
            await hub.flush()
            assert "another file has taken the place" in event_writer.status["problem"]
        assert path.read_text() == "something else"

    asyncio.run(main())


def test_two_engines_do_not_share_a_file_and_another_file_is_not_overwritten(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to look like one" * 100)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()

    async def main():
        async with kept(tmp_path / "log"), kept(tmp_path / "log"):
            pass

    for path, reason in [("log", "in use by another engine"), ("text", "cannot be used"), ("other", "another program")]:
        with pytest.raises((StoreError, ExceptionGroup)) as caught:
            asyncio.run(main() if path == "log" else kept(tmp_path / path).__aenter__())
        group = caught.value
        error = group.exceptions[0] if isinstance(group, ExceptionGroup) else group
        assert reason in str(error)
        assert str(tmp_path / path) in str(error)

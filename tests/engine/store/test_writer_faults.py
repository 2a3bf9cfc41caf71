"""The disk fails, hangs or loses the file; two engines, or another file."""

import asyncio
import sqlite3
import threading

import pytest

from engine.store.database import StoreError
from testing.event_store import history, kept
from testing.events import emotion


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

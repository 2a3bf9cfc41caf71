import pytest

from engine.store.database import MEMORY, open_database
from engine.store.outbox import Outbox, OutboxRow


def row(number, kind="current", speaker="alice", conversation="demo"):
    return OutboxRow(0, float(number), kind, f"id {number}", conversation, speaker, f'{{"n":{number}}}')


@pytest.fixture
def database():
    opened = open_database(MEMORY)
    yield opened
    opened.close()


def ids(rows):
    return [int(it.id.removeprefix("id ")) for it in rows]


def test_each_broker_has_a_cursor_and_rows_that_all_have_are_deleted(database):
    outbox = Outbox(database, ["a", "b"], 100)
    outbox.add([row(n) for n in range(1, 6)])
    assert ids(outbox.next("a", 0, 2)) == [1, 2]
    assert ids(outbox.next("a", 2, 2)) == [3, 4]
    assert ids(outbox.next("b", 0, 9)) == [1, 2, 3, 4, 5]
    assert (outbox.waiting("a"), outbox.waiting("b")) == (3, 5)
    assert ids(outbox.next("b", 5, 9)) == []
    assert database.execute("SELECT min(n) FROM outbox").fetchone() == (3,)
    again = Outbox(database, ["a", "c"], 100)  # after a restart with another broker, which gets only new rows
    assert ids(again.next("a", 0, 9)) == [3, 4, 5]
    again.add([row(6)])
    assert ids(again.next("c", 0, 9)) == [6]
    assert ids(Outbox(database, ["c"], 100).next("c", 0, 9)) == [6]


def test_the_oldest_rows_are_dropped_and_counted_per_broker(database):
    outbox = Outbox(database, ["a", "b"], 3)
    outbox.add([row(1), row(2)])
    outbox.next("a", 1, 9)
    outbox.add([row(3), row(4), row(5)])
    assert ids(outbox.next("b", 0, 9)) == [3, 4, 5]
    assert (outbox.dropped["a"], outbox.dropped["b"]) == (1, 2)
    outbox.expire(4.5)
    assert ids(outbox.next("a", 0, 9)) == [5]
    assert (outbox.dropped["a"], outbox.dropped["b"]) == (3, 4)


def test_the_latest_state_of_each_speaker_is_found_in_the_outbox(database):
    outbox = Outbox(database, ["a"], 100)
    outbox.add([row(1), row(2, speaker="bob"), row(3), row(4, kind="past"), row(5, kind="change")])
    outbox.add([row(6, conversation="other")])
    assert ids(outbox.latest()) == [2, 3, 6]
    outbox.forget("demo")
    assert ids(outbox.latest()) == ids(outbox.next("a", 0, 9)) == [6]


def test_brokers_and_webhooks_receive_their_kinds_alone(database):
    outbox = Outbox(database, ["broker"], 3, ["hook"])
    outbox.add([row(1), row(2, kind="webhook.final")])
    assert ids(outbox.next("broker", 0, 9)) == [1]
    assert ids(outbox.next("broker", 1, 9)) == []
    assert outbox.waiting("broker") == 0  # the rest is for the webhook
    assert ids(outbox.next("hook", 0, 9)) == [2]
    assert ids(outbox.next("hook", 0, 9, after=2)) == []
    assert outbox.waiting("hook") == 2  # not acknowledged
    outbox.add([row(3), row(4, kind="webhook.change"), row(5, kind="webhook.ended")])
    assert ids(outbox.next("hook", 1, 9, after=2)) == [4, 5]
    assert (outbox.dropped["hook"], outbox.dropped["broker"]) == (1, 0)
    assert ids(outbox.next("broker", 0, 9)) == [3]


def test_a_message_that_is_set_aside_is_kept_from_then_on(database):
    outbox = Outbox(database, [], 100, ["hook"])
    outbox.add([row(1, kind="webhook.final")])
    outbox.set_aside("hook", outbox.next("hook", 0, 9))
    outbox.expire(2.0)  # the message is older
    assert database.execute("SELECT id FROM dead_letter").fetchall() == [("id 1",)]
    outbox.forget("demo")
    assert database.execute("SELECT id FROM dead_letter").fetchall() == []


def test_without_brokers_no_row_is_kept(database):
    Outbox(database, ["a"], 100).add([row(1)])
    Outbox(database, [], 100)
    assert database.execute("SELECT count(*) FROM outbox").fetchone() == (0,)

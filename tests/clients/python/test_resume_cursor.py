from cberl_client import ConversationStarted, Resync, Snapshot, SpeakerJoined, Unknown
from cberl_client.resume_cursor import ResumeCursor


def joined(seq):
    return SpeakerJoined(f"demo/{seq}@1", seq, "demo", "alice")


def snapshot(last_seq):
    return Snapshot("demo", active=True, last_seq=last_seq)


def test_who_asks_for_nothing_earlier_goes_on_from_the_snapshot():
    cursor = ResumeCursor("demo")
    assert cursor.take(snapshot(7)) == (snapshot(7),)
    assert cursor.last_seq == 7


def test_what_was_there_already_is_passed_over_and_later_snapshots_too():
    cursor = ResumeCursor("demo", after_seq=2)
    assert cursor.take(snapshot(4)) == (snapshot(4),)
    assert [cursor.take(joined(seq)) for seq in (2, 3, 4)] == [(), (joined(3),), (joined(4),)]
    assert cursor.take(snapshot(6)) == ()
    assert [cursor.take(joined(seq)) for seq in (3, 4, 5)] == [(), (), (joined(5),)]


def test_a_resync_comes_with_the_snapshot_and_restarts_the_numbering():
    """Also where the engine has restarted its numbering and is behind the requested number."""
    cursor = ResumeCursor("demo", after_seq=90)
    cursor.take(snapshot(90))
    cursor.take(snapshot(1))
    resync = Resync("demo", requested_seq=90, last_seq=0)
    assert cursor.take(resync) == (resync, snapshot(1))
    started = ConversationStarted("demo/1@2", 1, "demo")
    assert cursor.take(started) == (started,)


def test_an_event_of_the_future_counts_too():
    cursor = ResumeCursor("demo", after_seq=1)
    future = Unknown("mood.of.room", {"type": "mood.of.room", "seq": 2})
    assert (cursor.take(future), cursor.last_seq, cursor.take(future)) == ((future,), 2, ())


def test_of_all_conversations_everything_is_news():
    cursor = ResumeCursor("*")
    assert [cursor.take(it) for it in (snapshot(3), snapshot(9), joined(3))] == [
        (snapshot(3),), (snapshot(9),), (joined(3),),
    ]  # fmt: skip

import asyncio
import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.delivery.hub import Hub
from engine.delivery.wire import EncodedEvent, decode
from engine.events import (
    ConversationEnded,
    ConversationStarted,
    Disclosure,
    EmotionEvent,
    Error,
    Resync,
    SpeakerJoined,
    SpeakerLeft,
)


def event(speaker="alice", status="final", start_s=0.0, emotion="joy", conversation="demo"):
    return EmotionEvent(
        conversation, f"{conversation}/{speaker}/1", speaker, start_s, start_s + 1, "hi", emotion, 0.9, {}, 0.0, 0.0,
        None, {}, "v", "m", {}, 0.0, status=status,
    )  # fmt: skip


def waiting(subscription):
    """All queued messages, decoded."""
    taken = []
    while entry := subscription.take():
        taken.append(decode(entry.text))
    return taken


def seqs(subscription):
    return [seq for seq, _ in waiting(subscription) if seq]


def test_an_event_that_cannot_be_encoded_is_counted_and_the_others_go_on(caplog):
    hub = Hub()
    subscription = hub.subscribe("demo", with_snapshot=False)
    spoilt = replace(event(), confidence=float("nan"), text="secret")
    assert [hub.publish(it) for it in (event(), spoilt, event(speaker="\ud800"), event())] == [2, None, None, 3]
    assert seqs(subscription) == [1, 2, 3]
    assert hub.not_encoded == 2
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_names_without_end_do_not_grow_the_snapshot_and_nobody_present_is_dropped():
    hub = Hub()
    hub.publish(SpeakerJoined("demo", "alice"))
    for number in range(1600):
        hub.publish(SpeakerJoined("demo", f"guest {number}"))
        hub.publish(SpeakerLeft("demo", f"guest {number}"))
    speakers = hub.snapshot("demo").speakers
    assert [(it.speaker, it.present) for it in speakers[:2]] == [("alice", True), ("guest 1537", False)]
    assert (len(speakers), speakers[-1].speaker) == (64, "guest 1599")


def test_a_subscriber_receives_the_snapshot_and_then_every_event():
    hub = Hub()
    hub.publish(event(emotion="anger"))
    subscription = hub.subscribe("demo")
    hub.publish(SpeakerJoined("demo", "bob"))
    hub.close("demo")
    (_, snapshot), *rest = waiting(subscription)
    assert (snapshot.active, snapshot.last_seq, snapshot.speakers[0].current.emotion) == (True, 2, "anger")
    assert rest == [(3, SpeakerJoined("demo", "bob")), (4, ConversationEnded("demo"))]


def test_the_first_event_starts_a_conversation_and_so_does_the_first_after_its_end():
    hub = Hub()
    subscription = hub.subscribe("demo")
    for _ in range(2):
        hub.publish(SpeakerJoined("demo", "bob"))
    hub.close("demo")
    hub.close("demo")
    hub.open("demo")
    started, joined, ended = ConversationStarted("demo"), SpeakerJoined("demo", "bob"), ConversationEnded("demo")
    assert waiting(subscription)[1:] == list(enumerate([started, joined, joined, ended, started], start=1))


def test_the_current_emotion_is_the_latest_by_media_time_and_never_interim():
    hub = Hub()
    hub.publish(event(start_s=5.0, emotion="anger"))
    hub.publish(replace(event(start_s=2.0, emotion="joy"), status="corrected"))
    hub.publish(event(start_s=9.0, emotion="fear", status="interim"))
    hub.publish(SpeakerLeft("demo", "alice"))
    (alice,) = hub.snapshot("demo").speakers
    assert (alice.current.emotion, alice.present) == ("anger", False)


def test_resume_replays_what_was_missed():
    hub = Hub(replay_events=4)
    for _ in range(9):
        hub.publish(event())  # seq 2 … 10; 7 … 10 are kept
    assert seqs(hub.subscribe("demo", 10)) == []
    assert seqs(hub.subscribe("demo", 8)) == [9, 10]
    assert seqs(hub.subscribe("demo", 6)) == [7, 8, 9, 10]
    for lost in (5, 0, 11):
        _, (_, resync), *kept = waiting(hub.subscribe("demo", lost))
        assert resync == Resync("demo", lost, 6)
        assert [seq for seq, _ in kept] == [7, 8, 9, 10]


def test_a_name_that_is_used_again_after_its_deletion_repeats_no_number():
    hub = Hub(keep_ended=1)
    for name in ("first", "second", "third"):
        hub.publish(SpeakerJoined(name, "alice"))
        hub.close(name)
    assert [it.id for it in hub.conversations()] == ["third"]
    assert hub.publish(SpeakerJoined("first", "alice")) > 3
    missed = [message for _, message in waiting(hub.subscribe("first", 1))]
    assert missed[1:] == [Resync("first", 1, 3), ConversationStarted("first"), SpeakerJoined("first", "alice")]


def test_subscribing_to_conversations_that_never_start_leaves_nothing_in_memory():
    hub = Hub()
    for number in range(100):
        hub.subscribe(f"nobody {number}").end("closed")
    assert hub.conversations() == []
    assert hub._topics == {}


def test_a_slow_reader_loses_superseded_events_first():
    hub = Hub(subscriber_queue=4)
    hub.open("demo")
    subscription = hub.subscribe("demo")  # the snapshot takes one place
    for speaker, status in [("a", "interim"), ("b", "interim"), ("a", "final"), ("a", "interim"), ("b", "final")]:
        hub.publish(event(speaker, status))
    arrived = [(message.speaker, message.status) for seq, message in waiting(subscription) if seq]
    assert arrived == [("a", "final"), ("a", "interim"), ("b", "final")]
    assert (subscription.dropped, subscription.reason) == (2, None)


def test_a_reader_too_slow_for_finals_is_disconnected_and_others_are_not():
    hub = Hub(subscriber_queue=4)
    hub.open("demo")
    slow, quick = hub.subscribe("demo"), hub.subscribe("demo")
    received = []
    for _ in range(6):
        hub.publish(event())
        received += seqs(quick)
    assert (slow.reason, waiting(slow)) == ("slow", [])
    assert received == [2, 3, 4, 5, 6, 7]
    assert seqs(hub.subscribe("demo", 1)) == received


def test_a_notice_is_queued_in_order_and_delivered_before_the_end():
    async def main():
        hub = Hub()
        subscription = hub.subscribe("demo")
        hub.publish(event())
        subscription.notify(Error("x", "y"))
        subscription.end("done")
        hub.publish(event())
        return [json.loads(text)["type"] async for _, text in subscription]

    assert asyncio.run(main()) == ["snapshot", "conversation.started", "emotion", "error"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(["final", "interim", "corrected"]), st.integers(1, 5)),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 6)),
        st.tuples(st.just("leave"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("close"), st.just(0), st.just(0)),
        st.tuples(st.just("elsewhere"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


class Client:
    """Reads its subscription, and resumes from its last seq. `lost` counts events that a resync reported as gone."""

    def __init__(self, hub):
        self.hub, self.last_seq, self.seen, self.lost = hub, 0, [], set()
        self.subscription = hub.subscribe("demo", 0)

    def read(self, count):
        for _ in range(count):
            entry = self.subscription.take()
            if entry is None:
                break
            seq, message = decode(entry.text)
            match message:
                case Resync():
                    self.lost.update(range(self.last_seq + 1, message.last_seq + 1))
                    self.last_seq = message.last_seq
                case _ if seq:
                    self.seen.append(seq)
                    self.last_seq = seq

    def resume(self):
        self.subscription.end("closed")
        self.subscription = self.hub.subscribe("demo", self.last_seq)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_in_any_order_of_operations_numbers_rise_by_one_and_no_client_misses_a_final(steps):
    hub = Hub(replay_events=12, subscriber_queue=4, keep_ended=1)
    clients = [Client(hub) for _ in range(3)]
    published, finals = [], set()
    for step, which, count in steps:
        if step == "publish":
            for _ in range(count):
                before = hub.snapshot("demo")
                published.append(hub.publish(event(status=which)))
                assert published[-1] == before.last_seq + (1 if before.active else 2)
                finals |= {published[-1]} if which != "interim" else set()
        elif step == "read":
            clients[which].read(count)
        elif step == "leave":
            clients[which].resume()
        elif step == "close":
            hub.close("demo")
        else:
            hub.publish(event(conversation="other"))
            hub.close("other")
    for client in clients:
        client.read(1000)
        client.resume()  # a client that was too slow resumes from its last seq
        client.read(1000)
        assert client.seen == sorted(set(client.seen))
        assert finals <= set(client.seen) | client.lost
        assert client.last_seq == hub.snapshot("demo").last_seq


def test_without_text_no_subscriber_receives_the_words_of_any_event_replay_or_snapshot():
    hub = Hub(with_text=False)
    subscription = hub.subscribe("demo")
    for status in ("interim", "final", "corrected"):
        hub.publish(event(status=status))
    hub.publish(Disclosure("demo", "Shown.", "en"))
    received = [message for _, message in waiting(subscription)]
    assert [it.text for it in received if isinstance(it, EmotionEvent)] == [None] * 3
    assert received[-1].text == "Shown."
    resumed = [message for _, message in waiting(hub.subscribe("demo", resume_from_seq=0))]
    assert resumed[0].speakers[0].current.text is None
    assert resumed[1:] == received[1:]
    stored = EncodedEvent(event(), 7, "0").json
    assert json.loads(hub.shown(stored)) == json.loads(stored) | {"text": None}

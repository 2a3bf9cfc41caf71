"""Fan-out: numbers each conversation's events, remembers the latest, and never waits for a reader.

No sockets here. A subscriber iterates; `websocket.py` puts what comes out on a socket.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from engine.messages import EmotionEvent
from engine.notices import (
    ConversationEnded,
    ConversationStarted,
    Event,
    Resync,
    SessionStats,
    Snapshot,
    SpeakerJoined,
    SpeakerLeft,
    SpeakerState,
)
from engine.publish.subscription import Entry, Subscription
from engine.publish.wire import encode


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """One line of the list of conversations. `active` is False once it has ended."""

    id: str
    speakers: tuple[str, ...]
    active: bool
    last_seq: int


@dataclass(slots=True, eq=False)
class _Topic:
    replay: deque[Entry]
    first_seq: int  # the number before its first event
    seq: int
    active: bool = False
    speakers: dict[str, SpeakerState] = field(default_factory=dict)
    subscriptions: set[Subscription] = field(default_factory=set)


class Hub:
    """All conversations of this process. Belongs to one event loop; nothing here waits."""

    def __init__(self, replay_events: int = 1000, subscriber_queue: int = 256, keep_ended: int = 16) -> None:
        self.replay_events = replay_events
        self.subscriber_queue = subscriber_queue
        self.keep_ended = keep_ended
        self._topics: dict[str, _Topic] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()  # oldest first
        self._floor = 0  # no forgotten conversation got further than this

    def open(self, conversation: str) -> None:
        """Publish `conversation.started`, unless it runs already."""
        topic = self._topic(conversation)
        if not topic.active:
            topic.active = True
            self._ended.pop(conversation, None)
            self._append(topic, ConversationStarted(conversation))

    def publish(self, event: Event) -> int:
        """Give the event its seq and hand it to every subscriber of its conversation, which it opens.

        Raises ValueError where a float in it is not finite; the seq is then not used up.
        """
        self.open(event.conversation)
        return self._append(self._topics[event.conversation], event)

    def close(self, conversation: str) -> None:
        """Publish `conversation.ended`. Subscribers stay: the conversation may come back."""
        topic = self._topics.get(conversation)
        if topic is None or not topic.active:
            return
        self._append(topic, ConversationEnded(conversation))
        topic.active = False
        topic.speakers = {name: replace(state, present=False) for name, state in topic.speakers.items()}
        self._ended[conversation] = None
        self._forget_oldest()

    def subscribe(self, conversation: str, resume_from_seq: int | None = None) -> Subscription:
        """A snapshot, then the events after `resume_from_seq` if given, then live.

        Where some of those are gone, or that number was never reached: a `resync`, and all that are still here.
        """
        topic = self._topic(conversation)
        subscription = Subscription(self.subscriber_queue, on_end=lambda it: self._leave(conversation, it))
        topic.subscriptions.add(subscription)
        subscription.tell(self.snapshot(conversation))
        if resume_from_seq is not None:
            after = resume_from_seq
            gone = topic.replay[0].seq - 1 if topic.replay else topic.seq
            if not gone <= after <= topic.seq:
                subscription.tell(Resync(conversation, resume_from_seq, gone))
                after = gone
            subscription.replay(entry for entry in topic.replay if entry.seq > after)
        return subscription

    def snapshot(self, conversation: str) -> Snapshot:
        topic = self._topics.get(conversation)
        if topic is None:
            return Snapshot(conversation, active=False, last_seq=self._floor)
        return Snapshot(conversation, topic.active, topic.seq, tuple(topic.speakers.values()))

    def dropped(self, conversation: str) -> int:
        """Events that its present subscribers were too slow for."""
        topic = self._topics.get(conversation)
        return sum(subscription.dropped for subscription in topic.subscriptions) if topic else 0

    def conversations(self) -> list[ConversationInfo]:
        """Those that run and the last that ended."""
        return [
            ConversationInfo(name, tuple(topic.speakers), topic.active, topic.seq)
            for name, topic in self._topics.items()
            if topic.seq > topic.first_seq
        ]

    def _topic(self, conversation: str) -> _Topic:
        topic = self._topics.get(conversation)
        if topic is None:
            replay: deque[Entry] = deque(maxlen=self.replay_events)
            # Beyond the floor, so that a name used again never repeats a number it once gave out.
            topic = self._topics[conversation] = _Topic(replay, first_seq=self._floor, seq=self._floor)
        return topic

    def _append(self, topic: _Topic, event: Event) -> int:
        entry = Entry(topic.seq + 1, encode(event, topic.seq + 1), _superseded_by(event))
        topic.seq = entry.seq
        topic.replay.append(entry)
        _remember(topic.speakers, event)
        for subscription in tuple(topic.subscriptions):
            subscription.push(entry)
        return entry.seq

    def _leave(self, conversation: str, subscription: Subscription) -> None:
        topic = self._topics[conversation]
        topic.subscriptions.discard(subscription)
        if topic.seq == topic.first_seq and not topic.subscriptions:
            del self._topics[conversation]  # it was only ever waited for
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Those that somebody still watches stay: their number is bounded by the sockets."""
        unwatched = [name for name in self._ended if not self._topics[name].subscriptions]
        for name in unwatched[: max(0, len(unwatched) - self.keep_ended)]:
            del self._ended[name]
            self._floor = max(self._floor, self._topics.pop(name).seq)


def _superseded_by(event: Event) -> str | None:
    """What a newer event of the same key makes worthless; None for what must arrive."""
    if isinstance(event, EmotionEvent) and event.status == "interim":
        return f"interim/{event.speaker}"
    return "stats" if isinstance(event, SessionStats) else None


def _remember(speakers: dict[str, SpeakerState], event: Event) -> None:
    match event:
        case SpeakerJoined(speaker=name) | SpeakerLeft(speaker=name):
            before = speakers.get(name, SpeakerState(name, present=True))
            speakers[name] = replace(before, present=isinstance(event, SpeakerJoined))
        case EmotionEvent(speaker=name) if event.status != "interim":
            before = speakers.get(name, SpeakerState(name, present=True))
            # A correction of an earlier utterance says nothing about how the speaker feels now.
            if before.current is None or event.start_s >= before.current.start_s:
                speakers[name] = replace(before, current=event)

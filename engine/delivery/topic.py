"""One conversation's events and subscribers in a hub."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cberl.recent import MAX_SPEAKERS
from engine.delivery.subscription import Entry, Subscription
from engine.events import ConversationEnded, EmotionEvent, Event, SpeakerJoined, SpeakerLeft, SpeakerState


@dataclass(slots=True, eq=False)
class Topic:
    """`replay` has the latest events, `speakers` the state of each speaker."""

    replay: deque[Entry]
    first_seq: int  # the number before its first event
    numbered: int  # the last number assigned
    seq: int  # the last number delivered
    active: bool = False
    speakers: dict[str, SpeakerState] = field(default_factory=dict)
    subscriptions: set[Subscription] = field(default_factory=set)

    @property
    def unused(self) -> bool:
        """Whether it never had an event."""
        return self.numbered == self.first_seq

    @property
    def replay_start(self) -> int:
        """The replay buffer has every event after this number."""
        return self.replay[0].seq - 1 if self.replay else self.seq

    def deliver(self, event: Event, entry: Entry, others: Iterable[Subscription]) -> None:
        """To its subscriptions and `others`. The replay buffer keeps it."""
        self.seq = entry.seq
        self.replay.append(entry)
        _remember(self.speakers, event)
        for subscription in (*self.subscriptions, *others):
            subscription.push(entry)

    def restore(self, entries: Iterable[Entry], last_seq: int, others: Iterable[Subscription]) -> None:
        """Add events that another engine has published. No number up to `last_seq` is used again."""
        kept = self.replay[-1].seq if self.replay else 0
        for entry in (entry for entry in entries if entry.seq > kept):
            self.replay.append(entry)
            if entry.seq > self.seq:
                for subscription in (*self.subscriptions, *others):
                    subscription.push(entry)
        unused = self.unused
        self.numbered = self.seq = max(self.numbered, last_seq)
        if unused:
            self.first_seq = self.numbered

    def forget(self) -> None:
        """Delete its events and speakers. Its last number and its subscriptions stay."""
        self.first_seq = self.seq
        self.replay.clear()
        self.speakers.clear()


def _remember(speakers: dict[str, SpeakerState], event: Event) -> None:
    """Beyond MAX_SPEAKERS, those who left first are dropped."""
    match event:
        case SpeakerJoined(speaker=name) | SpeakerLeft(speaker=name):
            before = speakers.get(name, SpeakerState(name, present=True))
            if isinstance(event, SpeakerLeft):
                speakers.pop(name, None)  # to be added again as the one that left last
            speakers[name] = replace(before, present=isinstance(event, SpeakerJoined))
        case EmotionEvent(speaker=name) if event.status != "interim":
            before = speakers.get(name, SpeakerState(name, present=True))
            if is_newer(event, before.current):
                speakers[name] = replace(before, current=event)
        case ConversationEnded():
            speakers |= {name: replace(state, present=False) for name, state in speakers.items()}
    absent = [name for name, state in speakers.items() if not state.present]
    for name in absent[: max(0, len(speakers) - MAX_SPEAKERS)]:
        del speakers[name]


def is_newer(event: EmotionEvent, current: EmotionEvent | None) -> bool:
    """Whether the event is the speaker's present emotion. A correction of an earlier utterance is not."""
    return current is None or event.status == "final" or event.start_s >= current.start_s

"""Fan-out: numbers each conversation's events, keeps the latest for replay, and never waits for a reader.

No sockets here: subscribers iterate, and `events_socket.py` sends the messages. With an event writer, an event is
numbered at once and delivered when the writer has stored it, so that no subscriber sees an event that a crash could
undo.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from cberl.recent import MAX_SPEAKERS
from engine.delivery.statistics import HubStatistics
from engine.delivery.subscription import EndReason, Entry, Subscription
from engine.delivery.wire import EncodedEvent, encode, without_text
from engine.events import (
    ConversationEnded,
    ConversationStarted,
    EmotionEvent,
    Event,
    Resync,
    Snapshot,
    SpeakerJoined,
    SpeakerLeft,
    SpeakerState,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """One entry of the list of conversations. `active` is False once it has ended."""

    id: str
    speakers: tuple[str, ...]
    active: bool
    last_seq: int


class EventWriter(Protocol):
    """Stores events before they are delivered."""

    numbering: str  # sequence numbers continue within one numbering

    def last_seq(self, conversation: str) -> int:
        """The highest number that the conversation may have used in earlier runs; 0 for a new one."""

    @property
    def keeps_events(self) -> bool:
        """Whether events and the states of conversations are stored."""
        ...

    def append(self, encoded: EncodedEvent, deliver: Callable[[], None], state: bytes | None = None) -> None:
        """Never waits. Calls `deliver` on the loop once the event is stored, in the order of the calls.

        `state`: that of the conversation after the event, stored with it until the conversation ends.
        """

    async def claim(self, conversation: str) -> Sequence[tuple[int, str]]:
        """Must precede the conversation's first event. Returns the latest events of other engines: (seq, JSON).

        Raises RefusedError where another engine runs it.
        """

    async def latest_events(self, conversation: str) -> Sequence[tuple[int, str]]:
        """Those of `claim`, for subscribers of a conversation that does not run here."""

    async def lost(self) -> str:
        """Waits for a conversation that another engine has continued, and must end here."""

    def take_state(self, conversation: str) -> bytes | None:
        """The state from an earlier run, or of another engine, once, if the conversation may continue."""

    def hold_states(self) -> None:
        """Conversations that end from now on may continue in the next run."""

    async def flush(self) -> None:
        """Returns when all appended events are delivered."""


@dataclass(slots=True, eq=False)
class _Topic:
    replay: deque[Entry]
    first_seq: int  # the number before its first event
    numbered: int  # the last number assigned
    seq: int  # the last number delivered
    active: bool = False
    speakers: dict[str, SpeakerState] = field(default_factory=dict)
    subscriptions: set[Subscription] = field(default_factory=set)


class Hub:
    """All conversations of this process. Belongs to one event loop. Only `flush` waits."""

    def __init__(
        self,
        replay_events: int = 1000,
        subscriber_queue: int = 256,
        keep_ended: int = 16,
        run: str = "0",
        event_writer: EventWriter | None = None,
        *,
        with_text: bool = True,
    ) -> None:
        """`with_text`: whether subscribers receive the words."""
        self.with_text = with_text
        self.run = run
        self.numbering = event_writer.numbering if event_writer else run
        self._event_writer = event_writer
        self.replay_events = replay_events
        self.subscriber_queue = subscriber_queue
        self.keep_ended = keep_ended
        self.statistics = HubStatistics()
        self.not_encoded = 0  # events that were left out because they cannot be encoded
        self._topics: dict[str, _Topic] = {}
        self._to_all: set[Subscription] = set()  # subscriptions to all conversations
        self._ended: OrderedDict[str, None] = OrderedDict()  # oldest first
        self._floor = 0  # the highest number of any conversation that was dropped

    def open(self, conversation: str) -> None:
        """Publish `conversation.started`, unless the conversation is active."""
        topic = self._topic(conversation)
        if not topic.active:
            topic.active = True
            self._ended.pop(conversation, None)
            self._append(topic, ConversationStarted(conversation))

    async def claim(self, conversation: str) -> None:
        """Before a conversation that does not run. Raises RefusedError where another engine runs it."""
        if self._event_writer is not None and not self._active(conversation):
            self._restore(conversation, await self._event_writer.claim(conversation))

    async def load(self, conversation: str) -> None:
        """Before `subscribe`, so that a subscriber can resume what another engine has published."""
        if self._event_writer is not None and not self._active(conversation):
            self._restore(conversation, await self._event_writer.latest_events(conversation))

    async def lost(self) -> str:
        """Waits for a conversation that another engine has continued. Its subscribers here were disconnected."""
        if self._event_writer is None:
            never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            return await never
        conversation = await self._event_writer.lost()
        for subscription in tuple(self._topic(conversation).subscriptions):
            subscription.end("restart")
        return conversation

    @property
    def keeps_states(self) -> bool:
        """Whether the states of conversations are stored."""
        return self._event_writer is not None and self._event_writer.keeps_events

    def saved_state(self, conversation: str) -> bytes | None:
        """With which the conversation continues after a restart of the engine."""
        return self._event_writer.take_state(conversation) if self._event_writer else None

    def hold_states(self) -> None:
        """For shutdown: conversations that end from now on may continue in the next run."""
        if self._event_writer is not None:
            self._event_writer.hold_states()

    def publish(self, event: Event, state: bytes | None = None) -> int | None:
        """Number the event and deliver it to every subscriber of its conversation, which is opened if necessary.

        Returns its seq. An event that cannot be encoded, because a float in it is not finite, is counted and logged; it
        uses no seq, and None is returned: it must not end the conversation. `state`: see `EventWriter.append`.
        """
        self.open(event.conversation)
        return self._append(self._topics[event.conversation], event, state)

    async def flush(self) -> None:
        """Returns when all events published so far are stored and delivered."""
        if self._event_writer is not None:
            await self._event_writer.flush()

    def close(self, conversation: str) -> None:
        """Publish `conversation.ended`. Its subscriptions stay: the conversation may start again."""
        topic = self._topics.get(conversation)
        if topic is None or not topic.active:
            return
        self._append(topic, ConversationEnded(conversation))
        topic.active = False
        self._ended[conversation] = None
        self._forget_oldest()

    def forget(self, conversation: str) -> None:
        """Delete the events and speakers of an ended conversation. Its last number and its subscriptions stay."""
        topic = self._topics.get(conversation)
        if topic is not None and not topic.active:
            topic.first_seq = topic.seq
            topic.replay.clear()
            topic.speakers.clear()

    def subscribe(
        self, conversation: str, resume_from_seq: int | None = None, *, with_snapshot: bool = True
    ) -> Subscription:
        """A snapshot, then the events after `resume_from_seq` if given, then live events.

        If some of those events are no longer kept, or that number was never reached: a `resync`, then all events kept.
        """
        topic = self._topic(conversation)
        subscription = Subscription(self.subscriber_queue, on_end=lambda it: self._leave(conversation, it))
        topic.subscriptions.add(subscription)
        if with_snapshot:
            subscription.notify(self.snapshot(conversation))
        if resume_from_seq is not None:
            after = resume_from_seq
            gone = self.replay_start(conversation)
            if not gone <= after <= topic.seq:
                subscription.notify(Resync(conversation, resume_from_seq, gone))
                after = gone
            subscription.replay(entry for entry in topic.replay if entry.seq > after)
        return subscription

    def subscribe_all(self) -> Subscription:
        """All conversations: a snapshot of each, then live events. There is no replay."""
        subscription = Subscription(self.subscriber_queue, on_end=self._leave_all)
        self._to_all.add(subscription)
        known = [self.snapshot(name) for name, topic in self._topics.items() if topic.seq > topic.first_seq]
        subscription.replay(Entry(0, encode(snapshot)) for snapshot in known)
        return subscription

    @property
    def subscriptions(self) -> list[Subscription]:
        """All that have not ended."""
        return [*(it for topic in self._topics.values() for it in topic.subscriptions), *self._to_all]

    def end_subscriptions(self, reason: EndReason) -> None:
        """End all of them, after the events that are queued."""
        for subscription in self.subscriptions:
            subscription.end(reason)

    def replay_start(self, conversation: str) -> int:
        """The replay buffer has every event after this number."""
        topic = self._topics.get(conversation)
        if topic is None:
            return self._first(conversation)
        return topic.replay[0].seq - 1 if topic.replay else topic.seq

    def snapshot(self, conversation: str) -> Snapshot:
        topic = self._topics.get(conversation)
        if topic is None:
            return Snapshot(conversation, False, self._first(conversation), numbering=self.numbering)
        return Snapshot(conversation, topic.active, topic.seq, tuple(topic.speakers.values()), self.numbering)

    def shown(self, encoded: str) -> str:
        """A stored event as subscribers receive it."""
        return encoded if self.with_text else without_text(encoded)

    def dropped(self, conversation: str) -> int:
        """Events dropped because present subscribers were too slow."""
        topic = self._topics.get(conversation)
        return sum(subscription.dropped for subscription in topic.subscriptions) if topic else 0

    def conversations(self) -> list[ConversationInfo]:
        """Active conversations and the last that ended."""
        return [
            ConversationInfo(name, tuple(topic.speakers), topic.active, topic.seq)
            for name, topic in self._topics.items()
            if topic.seq > topic.first_seq
        ]

    def _active(self, conversation: str) -> bool:
        topic = self._topics.get(conversation)
        return topic is not None and topic.active

    def _restore(self, conversation: str, events: Sequence[tuple[int, str]]) -> None:
        """Adds what another engine has published since this one saw the conversation."""
        if not events or self._active(conversation):
            return
        topic = self._topic(conversation)
        kept = topic.replay[-1].seq if topic.replay else 0
        for entry in (Entry(seq, self.shown(text)) for seq, text in events if seq > kept):
            topic.replay.append(entry)
            if entry.seq > topic.seq:
                for subscription in (*topic.subscriptions, *self._to_all):
                    subscription.push(entry)
        unused = topic.numbered == topic.first_seq
        topic.numbered = topic.seq = max(topic.numbered, self._first(conversation))
        if unused:
            topic.first_seq = topic.numbered

    def _topic(self, conversation: str) -> _Topic:
        topic = self._topics.get(conversation)
        if topic is None:
            replay: deque[Entry] = deque(maxlen=self.replay_events)
            first = self._first(conversation)
            topic = self._topics[conversation] = _Topic(replay, first_seq=first, numbered=first, seq=first)
        return topic

    def _first(self, conversation: str) -> int:
        """Above the floor, so that a name that is used again never repeats a number."""
        return max(self._floor, self._event_writer.last_seq(conversation) if self._event_writer else 0)

    def _append(self, topic: _Topic, event: Event, state: bytes | None = None) -> int | None:
        seq = topic.numbered + 1
        try:
            encoded = EncodedEvent(event, seq, self.run)
        except ValueError as error:
            self.not_encoded += 1
            log.error("an event of conversation %s cannot be encoded and was left out: %s", event.conversation, error)
            return None
        entry = Entry(seq, encoded.json if self.with_text else encoded.json_without_text, encoded.key)
        topic.numbered = seq
        deliver = partial(self._deliver, topic, event, entry)
        if self._event_writer is None:
            deliver()
        else:
            self._event_writer.append(encoded, deliver, state)
        return seq

    def _deliver(self, topic: _Topic, event: Event, entry: Entry) -> None:
        topic.seq = entry.seq
        topic.replay.append(entry)
        if isinstance(event, EmotionEvent) and not self.with_text:
            event = replace(event, text=None)
        _remember(topic.speakers, event)
        self.statistics.event(event)
        for subscription in (*topic.subscriptions, *self._to_all):
            subscription.push(entry)

    def _leave_all(self, subscription: Subscription) -> None:
        self._to_all.discard(subscription)
        self.statistics.end(subscription)

    def _leave(self, conversation: str, subscription: Subscription) -> None:
        self.statistics.end(subscription)
        topic = self._topics[conversation]
        topic.subscriptions.discard(subscription)
        if topic.numbered == topic.first_seq and not topic.subscriptions:
            del self._topics[conversation]  # it never had an event
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Ended conversations with subscriptions are kept: their number is limited by that of the sockets."""
        unwatched = [name for name in self._ended if not self._topics[name].subscriptions]
        for name in unwatched[: max(0, len(unwatched) - self.keep_ended)]:
            del self._ended[name]
            self._floor = max(self._floor, self._topics.pop(name).numbered)


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

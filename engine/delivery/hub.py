"""Fan-out: numbers each conversation's events, keeps the latest for replay, and never waits for a reader.

No sockets here: subscribers iterate, and `events_socket.py` sends the messages. With an event writer, an event is
numbered at once and delivered when the writer has stored it, so that no subscriber sees an event that a crash could
undo.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.delivery.event_writer import EventWriter, NoStorage
from engine.delivery.statistics import HubStatistics
from engine.delivery.subscription import EndReason, Entry, Subscription
from engine.delivery.topic import Topic
from engine.delivery.wire import EncodedEvent, encode, without_text
from engine.events import ChangeRule, ConversationEnded, ConversationStarted, EmotionEvent, Event, Resync, Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """One entry of the list of conversations. `active` is False once it has ended."""

    id: str
    speakers: tuple[str, ...]
    active: bool
    last_seq: int


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
        change: ChangeRule | None = None,
    ) -> None:
        """`with_text`: whether subscribers receive the words. `change`: the rule for lasting changes, for snapshots."""
        self.with_text = with_text
        self.change = change or ChangeRule()
        self.run = run
        self._event_writer = event_writer or NoStorage(run)
        self.numbering = self._event_writer.numbering
        self.replay_events = replay_events
        self.subscriber_queue = subscriber_queue
        self.keep_ended = keep_ended
        self.statistics = HubStatistics()
        self.not_encoded = 0  # events that were left out because they cannot be encoded
        self._topics: dict[str, Topic] = {}
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
        if not self._active(conversation):
            self._restore(conversation, await self._event_writer.claim(conversation))

    async def load(self, conversation: str) -> None:
        """Before `subscribe`, so that a subscriber can resume what another engine has published."""
        if not self._active(conversation):
            self._restore(conversation, await self._event_writer.latest_events(conversation))

    async def lost(self) -> str:
        """Waits for a conversation that another engine has continued. Its subscribers here were disconnected."""
        conversation = await self._event_writer.lost()
        for subscription in tuple(self._topic(conversation).subscriptions):
            subscription.end("restart")
        return conversation

    @property
    def keeps_states(self) -> bool:
        """Whether the states of conversations are stored."""
        return self._event_writer.keeps_events

    def saved_state(self, conversation: str) -> bytes | None:
        """With which the conversation continues after a restart of the engine."""
        return self._event_writer.take_state(conversation)

    def hold_states(self) -> None:
        """For shutdown: conversations that end from now on may continue in the next run."""
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
            topic.forget()

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
        return topic.replay_start if topic else self._first(conversation)

    def kept(self, conversation: str) -> list[str]:
        """Its latest events as subscribers receive them, as many as there are for replay."""
        topic = self._topics.get(conversation)
        return [entry.text for entry in topic.replay] if topic else []

    def snapshot(self, conversation: str) -> Snapshot:
        topic = self._topics.get(conversation)
        if topic is None:
            last_seq = self._first(conversation)
            return Snapshot(conversation, False, last_seq, numbering=self.numbering, change=self.change)
        speakers = tuple(topic.speakers.values())
        return Snapshot(conversation, topic.active, topic.seq, speakers, self.numbering, self.change)

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
        if events and not self._active(conversation):
            entries = [Entry(seq, self.shown(text)) for seq, text in events]
            self._topic(conversation).restore(entries, self._first(conversation), self._to_all)

    def _topic(self, conversation: str) -> Topic:
        topic = self._topics.get(conversation)
        if topic is None:
            replay: deque[Entry] = deque(maxlen=self.replay_events)
            first = self._first(conversation)
            topic = self._topics[conversation] = Topic(replay, first_seq=first, numbered=first, seq=first)
        return topic

    def _first(self, conversation: str) -> int:
        """Above the floor, so that a name that is used again never repeats a number."""
        return max(self._floor, self._event_writer.last_seq(conversation))

    def _append(self, topic: Topic, event: Event, state: bytes | None = None) -> int | None:
        seq = topic.numbered + 1
        try:
            encoded = EncodedEvent(event, seq, self.run)
        except ValueError as error:
            self.not_encoded += 1
            log.error("an event of conversation %s cannot be encoded and was left out: %s", event.conversation, error)
            return None
        entry = Entry(seq, encoded.json if self.with_text else encoded.json_without_text, encoded.key)
        topic.numbered = seq
        self._event_writer.append(encoded, partial(self._deliver, topic, event, entry), state)
        return seq

    def _deliver(self, topic: Topic, event: Event, entry: Entry) -> None:
        if isinstance(event, EmotionEvent) and not self.with_text:
            event = replace(event, text=None)
        topic.deliver(event, entry, self._to_all)
        self.statistics.event(event)

    def _leave_all(self, subscription: Subscription) -> None:
        self._to_all.discard(subscription)
        self.statistics.end(subscription)

    def _leave(self, conversation: str, subscription: Subscription) -> None:
        self.statistics.end(subscription)
        topic = self._topics[conversation]
        topic.subscriptions.discard(subscription)
        if topic.unused and not topic.subscriptions:
            del self._topics[conversation]
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Ended conversations with subscriptions are kept: their number is limited by that of the sockets."""
        unwatched = [name for name in self._ended if not self._topics[name].subscriptions]
        for name in unwatched[: max(0, len(unwatched) - self.keep_ended)]:
            del self._ended[name]
            self._floor = max(self._floor, self._topics.pop(name).numbered)

"""Which events go to brokers, and as what: an utterance, a correction, a change of emotion."""

from collections.abc import Mapping, Sequence

from cberl.recent import RecentDict
from engine.delivery.change import ChangeDetector
from engine.delivery.wire import EncodedEvent, to_json
from engine.events import ConversationEnded, EmotionEvent
from engine.mqtt.states import States, Unsent
from engine.store.outbox import Kind, OutboxRow


class MqttFeed:
    """The `OutboxFeed` of the event writer for all brokers. `unsent` is by the broker's name."""

    def __init__(
        self, changes: ChangeDetector, states: States, unsent: Mapping[str, Unsent], *, with_text: bool
    ) -> None:
        self.states = states
        self.unsent = unsent
        self._changes = changes
        self._with_text = with_text
        self._latest_start_s: dict[str, RecentDict[str, float]] = {}  # of an utterance, by conversation and speaker

    def rows(self, encoded: EncodedEvent, at_s: float) -> list[OutboxRow]:
        """See `OutboxFeed`."""
        event = encoded.event
        if isinstance(event, ConversationEnded):
            self._changes.forget(event.conversation)
            self._latest_start_s.pop(event.conversation, None)
        if not isinstance(event, EmotionEvent) or event.status == "interim":
            return []
        json = encoded.json if self._with_text else encoded.json_without_text
        first = OutboxRow(0, at_s, self._kind(event), encoded.id, event.conversation, event.speaker, json)
        previous = self._changes.push(event)
        if previous is None:
            return [first]
        json = to_json(encoded.body(with_text=self._with_text) | {"previous": previous})
        return [first, first._replace(kind="change", json=json)]

    def delivered(self, rows: Sequence[OutboxRow]) -> None:
        """See `OutboxFeed`."""
        if rows:
            people = self.states.push(rows)
            for unsent in self.unsent.values():
                unsent.add(people)

    def _kind(self, event: EmotionEvent) -> Kind:
        """A correction of an earlier utterance says nothing about the speaker's present emotion."""
        starts = self._latest_start_s.setdefault(event.conversation, RecentDict())
        if event.status == "final" or event.start_s >= starts.get(event.speaker, 0.0):
            starts[event.speaker] = event.start_s
            return "current"
        return "past"

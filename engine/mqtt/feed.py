"""What brokers are to be told of an event, and what they should know of everybody by now. Pure."""

import json
from collections import OrderedDict
from collections.abc import Iterable

from engine.delivery.subscription import Entry
from engine.delivery.wire import event_id, without_words
from engine.events import ConversationEnded, EmotionEvent, Event
from engine.mqtt.change import ChangeDetector
from engine.mqtt.topics import with_field
from engine.store.outbox import Kind, OutboxRow

Person = tuple[str, str]  # (conversation, speaker)
MAX_PEOPLE = 10_000


class MqttFeed:
    """Feed it every event once, in order."""

    def __init__(self, changes: ChangeDetector, run: str, with_text: bool) -> None:
        self._changes = changes
        self._run = run
        self._with_text = with_text
        self._current: dict[str, dict[str, float]] = {}  # by conversation and speaker: start of the latest utterance

    def rows(self, event: Event, entry: Entry, at_s: float) -> list[OutboxRow]:
        """What goes into the outbox, in order. `entry` is the encoded event, `at_s` wall clock."""
        if isinstance(event, ConversationEnded):
            self._changes.forget(event.conversation)
            self._current.pop(event.conversation, None)
        if not isinstance(event, EmotionEvent) or event.status == "interim":
            return []
        text = entry.text if self._with_text else without_words(event, entry.text)
        rows = [self._row(self._kind(event), event, entry.seq, at_s, text)]
        before = self._changes.push(event)
        if before is not None:
            text = with_field(text, f'"previous":{json.dumps(before)}')
            rows.append(self._row("change", event, entry.seq, at_s, text))
        return rows

    def _kind(self, event: EmotionEvent) -> Kind:
        """A correction of an earlier utterance says nothing about how the speaker feels now."""
        starts = self._current.setdefault(event.conversation, {})
        if event.status == "final" or event.start_s >= starts.get(event.speaker, 0.0):
            starts[event.speaker] = event.start_s
            return "current"
        return "past"

    def _row(self, kind: Kind, event: EmotionEvent, seq: int, at_s: float, text: str) -> OutboxRow:
        return OutboxRow(
            0, at_s, kind, event_id(event.conversation, seq, self._run), event.conversation, event.speaker, text
        )


class States:
    """Everybody's latest row, for the retained state topics. Those heard of longest ago give way."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Person, OutboxRow] = OrderedDict()

    def push(self, rows: Iterable[OutboxRow], live: bool = True) -> list[Person]:
        """Whose state is new by these rows. Where they are not `live`, one that is not older may be known already."""
        new = {}
        for row in rows:
            person = (row.conversation, row.speaker)
            known = self._rows.get(person)
            if row.kind == "current" and (live or known is None or known.at_s < row.at_s):
                new[person] = self._rows[person] = row
                self._rows.move_to_end(person)
        while len(self._rows) > MAX_PEOPLE:
            self._rows.popitem(last=False)
        return list(new)

    def get(self, person: Person) -> OutboxRow | None:
        return self._rows.get(person)

    def people(self, conversation: str | None = None) -> list[Person]:
        return [person for person in self._rows if conversation in (None, person[0])]

    def forget(self, conversation: str) -> None:
        for person in self.people(conversation):
            del self._rows[person]

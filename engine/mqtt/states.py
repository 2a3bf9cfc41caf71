"""The latest event of each speaker, and what a broker has yet to be sent of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from engine.mqtt.topics import MqttMessage
from engine.store.outbox import OutboxRow

Person = tuple[str, str]  # (conversation, speaker)
MAX_PEOPLE = 10_000


class States:
    """Each speaker's latest row, for the retained state topics. Beyond MAX_PEOPLE the least recent are dropped."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Person, OutboxRow] = OrderedDict()

    def push(self, rows: Iterable[OutboxRow], live: bool = True) -> list[Person]:
        """Returns the speakers whose state these rows change.

        Rows that are not `live` come from the outbox: they replace only an older state.
        """
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
        """All speakers, or those of one conversation."""
        return [person for person in self._rows if conversation in (None, person[0])]

    def forget(self, conversation: str) -> None:
        for person in self.people(conversation):
            del self._rows[person]


class Unsent:
    """What one broker is to be sent beside the rows of the outbox: new states, and removals of retained messages."""

    def __init__(self) -> None:
        self.people: dict[Person, None] = {}
        self.removals: list[MqttMessage] = []
        self.changed = asyncio.Event()

    def add(self, people: Iterable[Person] = (), removals: Iterable[MqttMessage] = ()) -> None:
        """Call it also when rows were added to the outbox: it wakes the broker's task."""
        self.people |= dict.fromkeys(people)
        self.removals += removals
        self.changed.set()

"""What the database does not have yet. Kept in memory while the disk fails, within limits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.store.conversation_states import StateRow
from engine.store.event_log import EventRow
from engine.store.outbox import OutboxRow

MAX_ROWS = 10_000  # of events, and of the outbox: about 10 MB each


@dataclass(slots=True)
class Rows:
    """For one transaction. `limits`: see `EventLog.reserve`."""

    events: list[EventRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    states: dict[str, StateRow] = field(default_factory=dict)  # the latest of each conversation
    limits: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.events or self.outbox or self.states or self.limits)


class Unsaved:
    """`take` what is to be written, and `put_back` what could not be. Beyond MAX_ROWS the oldest rows are given up."""

    def __init__(self) -> None:
        self.lost_events = 0
        self.lost_outbox = 0
        self._rows = Rows()

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __len__(self) -> int:
        """Events."""
        return len(self._rows.events)

    def add(self, event: EventRow | None, outbox: Iterable[OutboxRow], state: StateRow | None) -> None:
        if event:
            self._rows.events.append(event)
        self._rows.outbox += outbox
        if state:
            self._rows.states[state.conversation] = state
        self._give_up_oldest()

    def reserve(self, conversation: str, limit: int) -> None:
        self._rows.limits[conversation] = limit

    def take(self) -> Rows:
        rows, self._rows = self._rows, Rows()
        return rows

    def put_back(self, rows: Rows) -> None:
        """They are older than what was added since."""
        newer = self._rows
        self._rows = Rows(
            rows.events + newer.events,
            rows.outbox + newer.outbox,
            rows.states | newer.states,
            rows.limits | newer.limits,
        )
        self._give_up_oldest()

    def forget(self, conversation: str) -> None:
        rows = self._rows
        rows.events = [it for it in rows.events if it.conversation != conversation]
        rows.outbox = [it for it in rows.outbox if it.conversation != conversation]
        rows.states.pop(conversation, None)

    def _give_up_oldest(self) -> None:
        events, outbox = self._rows.events, self._rows.outbox
        self.lost_events += max(0, len(events) - MAX_ROWS)
        self.lost_outbox += max(0, len(outbox) - MAX_ROWS)
        del events[:-MAX_ROWS], outbox[:-MAX_ROWS]

"""Writes events to the database. While the disk fails or hangs, they wait in memory."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable

from engine.runtime.clocks import system_unix_s
from engine.store.conversation_states import ConversationStates
from engine.store.event_log import EventLog
from engine.store.outbox import Outbox, OutboxRow
from engine.store.transactions import Transactions
from engine.store.unsaved import Rows, Unsaved

ALIVE_S = 5.0  # at least this often, the file says that the engine is alive, and a disk that failed is tried again
DISK_S = 5.0  # longest wait for a write; then events are delivered before they are stored

log = logging.getLogger(__name__)


class Saver:
    """`save` what is `unsaved`. `alive`: whether the file is to say that the engine, with its conversations, runs."""

    def __init__(
        self,
        transactions: Transactions,
        events: EventLog,
        outbox: Outbox,
        states: ConversationStates,
        alive: Callable[[], bool],
    ) -> None:
        self.unsaved = Unsaved()
        self.problem: str | None = None  # why nothing can be written at present
        self._transactions = transactions
        self._events = events
        self._outbox = outbox
        self._states = states
        self._alive = alive
        self._alive_at = float("-inf")  # monotonic time of the last such entry
        self._saving: asyncio.Future[None] | None = None
        self._saved_outbox: list[OutboxRow] = []

    @property
    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        status: dict[str, object] = {"not_kept": self.unsaved.lost_events, "unsaved": len(self.unsaved)}
        return status if self.problem is None else status | {"problem": self.problem}

    @property
    def due(self) -> bool:
        """Whether there is something to write, even where no event has come."""
        return bool(self.unsaved) or self._alive_due

    @property
    def _alive_due(self) -> bool:
        return self._alive() and time.monotonic() - self._alive_at >= ALIVE_S

    async def save(self) -> None:
        """Write what is unsaved. Returns after DISK_S at the latest, and at once where an earlier write still hangs."""
        if self._saving is None or self._saving.done():
            if not self.due:
                return
            self._saving = asyncio.ensure_future(self._write_unsaved())
        elif self.problem:
            return
        await asyncio.wait([self._saving], timeout=DISK_S)
        if not self._saving.done():
            self._report(f"it has not answered for {DISK_S:g} s")

    def take_saved_outbox(self) -> list[OutboxRow]:
        """Rows that were written since the last call."""
        rows, self._saved_outbox = self._saved_outbox, []
        return rows

    async def _write_unsaved(self) -> None:
        rows, alive_s = self.unsaved.take(), None
        if self._alive_due:
            alive_s, self._alive_at = system_unix_s(), time.monotonic()
        try:
            await self._transactions.call(self._write, rows, alive_s)
        except sqlite3.Error as error:
            self.unsaved.put_back(rows)
            self._report(str(error))
        else:
            self._report(None)
            self._saved_outbox += rows.outbox

    def _report(self, problem: str | None) -> None:
        """Log what has changed, once."""
        if problem and problem != self.problem:
            log.error("the event log cannot be written: %s; events are delivered, and wait in memory", problem)
        elif self.problem and not problem:
            log.warning("the event log can be written again; %d events were lost", self.unsaved.lost_events)
        self.problem = problem

    def _write(self, rows: Rows, alive_s: float | None) -> None:
        self._events.reserve(rows.limits)
        self._events.add(rows.events)
        self._outbox.add(rows.outbox)
        self._states.put(rows.states.values())
        if alive_s is not None:
            self._states.touch(alive_s)

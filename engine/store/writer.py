"""The thread that owns the database. Events are stored in small batches, and delivered after that.

    hub ─ append ─► waiting ─ one commit per batch (thread) ─► deliver to subscribers ─► notify the outbox feed

A batch holds the events that arrived during the last commit, so an event waits for one commit at most, and a busy
engine makes few large commits. If the disk fails or hangs, events are delivered nevertheless, and wait in memory until
they can be written (see `saver.py`).
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from engine.delivery.event_writer import SingleOwner
from engine.delivery.wire import EncodedEvent
from engine.events import ConversationEnded, Event
from engine.runtime.clocks import system_unix_s, unix_s
from engine.store.conversation_states import ConversationStates, StateRow
from engine.store.database import MEMORY, Database, StoreError, open_database
from engine.store.event_log import EventLog, EventRow
from engine.store.outbox import Outbox, OutboxRow
from engine.store.outbox_feed import NoOutboxFeed, OutboxFeed
from engine.store.saver import ALIVE_S, Saver
from engine.store.transactions import Transactions

MAX_BATCH = 256
RESERVE = 1000  # numbers that a conversation may use before its limit is written again

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventWriterConfig:
    """What is stored. Without `path` there is only the outbox, in memory."""

    path: str = ""
    keep_text: bool = False
    brokers: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()
    outbox_rows: int = 100_000
    grace_s: float = 30.0  # since the last run ended, in which its conversations may continue


class _Record(NamedTuple):
    row: EventRow | None
    state: StateRow | None
    outbox: list[OutboxRow]
    deliver: Callable[[], None]


class EventWriter(SingleOwner):
    """Use inside `open_event_writer`. The hub uses `append` and `flush`; `call` queries the log or the outbox."""

    def __init__(
        self,
        database: Database,
        thread: ThreadPoolExecutor,
        config: EventWriterConfig,
        feed: OutboxFeed | None = None,
    ) -> None:
        self.log = EventLog(database)
        self.outbox = Outbox(database, config.brokers, config.outbox_rows, config.webhooks)
        self.states = ConversationStates(database)
        self._feed: OutboxFeed = feed or NoOutboxFeed()
        self._config = config
        self.numbering = self.log.numbering()
        self._floor, self._limits = self.log.numbers()
        self._reached: dict[str, int] = {}  # highest numbers used in this run
        self._running: set[str] = set()
        self._waiting: deque[_Record] = deque()
        self._appended = self._delivered = 0
        self._over = False
        self._held = False
        self._expires = time.monotonic() + self.states.alive_s() + config.grace_s - system_unix_s()
        self._saved = self.states.load()
        transactions = Transactions(database, thread)
        self.call, self.query, self.scrub = transactions.call, transactions.query, transactions.scrub
        self._saver = Saver(transactions, self.log, self.outbox, self.states, self._is_alive)
        self._arrived = asyncio.Event()
        self._flushing: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def keeps_events(self) -> bool:
        return bool(self._config.path)

    @property
    def not_kept(self) -> int:
        """Events that were given up: there were too many before the disk could be written again."""
        return self._saver.unsaved.lost_events

    @property
    def lost_outbox(self) -> int:
        """Messages for brokers and webhooks that were given up in the same way."""
        return self._saver.unsaved.lost_outbox

    @property
    def unsaved(self) -> int:
        """Events that are delivered and not stored yet, because the disk fails."""
        return len(self._saver.unsaved)

    @property
    def complete(self) -> bool:
        """Whether the log has all events that were delivered, within retention."""
        return self._saver.problem is None and not self.not_kept

    @property
    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        return self._saver.status

    @property
    def waiting(self) -> int:
        """Events that are not stored and delivered yet."""
        return self._appended - self._delivered

    def last_seq(self, conversation: str) -> int:
        """See `delivery.event_writer`."""
        return max(self._floor, self._limits.get(conversation, 0))

    def take_state(self, conversation: str) -> bytes | None:
        """See `delivery.event_writer`."""
        saved = self._saved.pop(conversation, None)
        return saved if time.monotonic() <= self._expires else None

    def hold_states(self) -> None:
        """See `delivery.event_writer`."""
        self._held = True

    def append(self, encoded: EncodedEvent, deliver: Callable[[], None], state: bytes | None = None) -> None:
        """See `delivery.event_writer`."""
        at_s, name = unix_s(), encoded.event.conversation
        ended = isinstance(encoded.event, ConversationEnded) and not self._held
        state_row = StateRow(name, at_s, state) if self.keeps_events and (state or ended) else None
        row = self._row(encoded, at_s) if self.keeps_events and encoded.key is None else None
        if self.keeps_events:
            self._number(encoded.event, encoded.seq)
        self._waiting.append(_Record(row, state_row, self._feed.rows(encoded, at_s), deliver))
        self._appended += 1
        self._arrived.set()

    async def flush(self) -> None:
        """See `delivery.event_writer`."""
        if self._delivered < self._appended and not self._over:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flushing.append((self._appended, done))
            await done

    async def forget(self, conversation: str) -> int:
        """Delete a conversation. Returns how many of its events were in the log. Raises sqlite3.Error."""
        await self.flush()
        self._saver.unsaved.forget(conversation)

        def forget() -> int:
            self.outbox.forget(conversation)
            self.states.forget(conversation)
            return self.log.forget(conversation)

        deleted = await self.call(forget)
        self.drop([conversation])
        await self.scrub()
        return deleted

    def drop(self, conversations: Iterable[str]) -> None:
        """These names were deleted from the log."""
        for name in conversations:
            self._floor = max(self._floor, self._limits.pop(name, 0))
            self._reached.pop(name, None)

    def _is_alive(self) -> bool:
        return self.keeps_events and bool(self._running)

    async def pump(self) -> None:
        """Stores and delivers events until cancelled."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_S):
                        await self._arrived.wait()
                self._arrived.clear()
                if self._saver.due and not self._waiting:
                    await self._saver.save()
                    self._deliver([])
                while self._waiting:
                    batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                    for record in batch:
                        self._saver.unsaved.add(record.row, record.outbox, record.state)
                    await self._saver.save()
                    self._deliver(batch)
        finally:  # cancelled: no `flush` may wait for ever
            self._over = True
            self._release(self._appended)

    def _deliver(self, batch: Sequence[_Record]) -> None:
        for record in batch:
            record.deliver()
        self._feed.delivered(self._saver.take_saved_outbox())
        self._delivered += len(batch)
        self._release(self._delivered)

    def _release(self, up_to: int) -> None:
        while self._flushing and self._flushing[0][0] <= up_to:
            _, done = self._flushing.popleft()
            if not done.done():
                done.set_result(None)

    @property
    def active(self) -> tuple[str, ...]:
        """Conversations that have not ended."""
        return tuple(self._running)

    async def finish(self) -> None:
        """Store all appended events and the highest numbers used, so that the next run continues after them."""
        await self.flush()
        try:
            await self.call(self.log.reserve, self._reached)
            await self.call(self.states.touch, system_unix_s())
        except sqlite3.Error as error:
            log.error("the highest numbers cannot be written to the event log: %s", error)

    def _row(self, encoded: EncodedEvent, at_s: float) -> EventRow:
        event, json = encoded.event, encoded.json if self._config.keep_text else encoded.json_without_text
        return EventRow(event.conversation, encoded.seq, at_s, getattr(event, "speaker", None), json)

    def _number(self, event: Event, seq: int) -> None:
        """Limits are written ahead, because events that are not stored have numbers, too."""
        name = event.conversation
        self._reached[name] = seq
        self._running.add(name)
        if isinstance(event, ConversationEnded):
            self._running.discard(name)
        if seq > self._limits.get(name, 0):
            self._limits[name] = seq + RESERVE
            self._saver.unsaved.reserve(name, seq + RESERVE)


def _opened(
    database: Database, thread: ThreadPoolExecutor, config: EventWriterConfig, feed: OutboxFeed | None
) -> EventWriter:
    """Raises StoreError where the file is damaged in what is read at the start."""
    try:
        return EventWriter(database, thread, config, feed)
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise StoreError(f"{config.path} is damaged: {error}; move it away or choose another event_log") from error


@asynccontextmanager
async def open_event_writer(config: EventWriterConfig, feed: OutboxFeed | None = None) -> AsyncIterator[EventWriter]:
    """Raises StoreError where the file cannot be used."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="event writer") as thread:
        database = await loop.run_in_executor(thread, open_database, config.path or MEMORY)
        try:
            event_writer = await loop.run_in_executor(thread, _opened, database, thread, config, feed)
            async with asyncio.TaskGroup() as tasks:
                pump = tasks.create_task(event_writer.pump(), name="event writer")
                try:
                    yield event_writer
                finally:
                    if not pump.done():
                        await event_writer.finish()
                    pump.cancel()
        finally:
            await loop.run_in_executor(thread, database.close)

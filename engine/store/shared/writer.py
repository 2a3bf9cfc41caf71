"""Writes conversations to the shared store before their events are delivered, and keeps owning them.

    hub ─ append ─► waiting ─ one write per batch ─► event writer of this engine, if any ─► deliver

Where the store does not answer, events are delivered nevertheless: what is said now matters more than a takeover.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from engine.delivery.event_writer import EventWriter
from engine.delivery.wire import EncodedEvent
from engine.errors import RefusedError
from engine.events import ConversationEnded
from engine.store.shared.conversation_store import (
    Checkpoint,
    ConversationStore,
    ConversationStoreError,
    OwnedElsewhereError,
    StoredConversation,
)

MAX_BATCH = 256
RESERVE = 1000  # numbers that a conversation may use before its limit is written again
RENEWALS = 3  # per lease
POLL_S = 0.25  # while another engine owns the conversation
RETRY_AFTER_S = 5.0

log = logging.getLogger(__name__)


class _Record(NamedTuple):
    encoded: EncodedEvent
    deliver: Callable[[], None]
    state: bytes | None
    ended: bool


@dataclass(frozen=True, slots=True)
class SharedWriterConfig:
    """`claim_s`: how long a publisher waits for a conversation whose owner may have died."""

    lease_s: float
    claim_s: float
    keep_text: bool


class SharedEventWriter:
    """A `EventWriter`. Use inside `open_shared_writer`. `inner` is that of this engine's own log and outbox."""

    def __init__(self, store: ConversationStore, config: SharedWriterConfig, inner: EventWriter | None) -> None:
        self.numbering = store.numbering
        self.not_kept = 0  # events that could not be written
        self._store = store
        self._config = config
        self._inner = inner
        self._claimed: dict[str, StoredConversation] = {}
        self._limits: dict[str, int] = {}
        self._running: set[str] = set()
        self._lost: set[str] = set()
        self._losses: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: deque[_Record] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._held = False

    @property
    def keeps_events(self) -> bool:
        """See `EventWriter`."""
        return True

    async def claim(self, conversation: str) -> Sequence[tuple[int, str]]:
        """See `EventWriter`."""
        deadline = asyncio.get_running_loop().time() + self._config.claim_s
        while True:
            try:
                stored = await self._store.claim(conversation)
            except OwnedElsewhereError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise RefusedError("full", f"{error}", RETRY_AFTER_S) from error
                await asyncio.sleep(min(POLL_S, error.retry_after_s))
            except ConversationStoreError as error:
                log.error("%s", error)
                message = "the conversation store does not answer: try again in a moment"
                raise RefusedError("full", message, RETRY_AFTER_S) from error
            else:
                self._lost.discard(conversation)
                self._remember(conversation, stored)
                return stored.events

    async def latest_events(self, conversation: str) -> Sequence[tuple[int, str]]:
        """See `EventWriter`."""
        try:
            stored = await self._store.read(conversation)
        except ConversationStoreError as error:
            log.error("%s", error)
            return ()
        self._limits[conversation] = max(self._limits.get(conversation, 0), stored.seq_limit)
        return stored.events

    async def lost(self) -> str:
        """Waits for a conversation that another engine has continued: it must end here."""
        return await self._losses.get()

    def last_seq(self, conversation: str) -> int:
        """See `EventWriter`."""
        return max(self._limits.get(conversation, 0), self._inner.last_seq(conversation) if self._inner else 0)

    def take_state(self, conversation: str) -> bytes | None:
        """See `EventWriter`."""
        claimed = self._claimed.pop(conversation, None)
        return claimed.state if claimed else None

    def hold_states(self) -> None:
        """See `EventWriter`."""
        self._held = True
        if self._inner:
            self._inner.hold_states()

    def append(self, encoded: EncodedEvent, deliver: Callable[[], None], state: bytes | None = None) -> None:
        """See `EventWriter`."""
        ended = isinstance(encoded.event, ConversationEnded)
        self._waiting.append(_Record(encoded, deliver, state, ended))
        self._idle.clear()
        self._arrived.set()

    async def flush(self) -> None:
        """See `EventWriter`."""
        await self._idle.wait()
        if self._inner:
            await self._inner.flush()

    async def forget(self, conversation: str) -> None:
        """Delete a conversation. Raises ConversationStoreError."""
        await self.flush()
        await self._store.forget(conversation)

    async def pump(self) -> None:
        """Writes and delivers until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                    await self._write(batch)
                    self._deliver(batch)
                self._idle.set()
        finally:  # cancelled: no `flush` may wait for ever
            self._idle.set()

    async def keep_owning(self) -> None:
        """Renews the leases of the running conversations until cancelled."""
        while True:
            await asyncio.sleep(self._config.lease_s / RENEWALS)
            try:
                self._lose(await self._store.renew(list(self._running)))
            except ConversationStoreError as error:
                log.error("%s", error)

    async def finish(self) -> None:
        """Everything is written, and other engines may continue at once what has not ended."""
        await self.flush()
        try:
            await self._store.release(list(self._running))
        except ConversationStoreError as error:
            log.error("%s", error)

    def _remember(self, conversation: str, stored: StoredConversation) -> None:
        self._claimed[conversation] = stored
        self._limits[conversation] = max(self._limits.get(conversation, 0), stored.seq_limit)

    async def _write(self, batch: Sequence[_Record]) -> None:
        checkpoints = list(self._checkpoints(batch))
        if not checkpoints:
            return
        try:
            self._lose(await self._store.save(checkpoints))
        except ConversationStoreError as error:
            self.not_kept += sum(len(it.events) for it in checkpoints)
            log.error("%s; events are delivered, but no other engine could continue", error)
        for it in checkpoints:
            if it.ended:
                self._claimed.pop(it.conversation, None)

    def _checkpoints(self, batch: Iterable[_Record]) -> Iterable[Checkpoint]:
        """One per conversation with an event that must arrive."""
        by_name: dict[str, list[_Record]] = {}
        for record in batch:
            if record.encoded.key is None and record.encoded.event.conversation not in self._lost:
                by_name.setdefault(record.encoded.event.conversation, []).append(record)
        for name, records in by_name.items():
            seq, ended = records[-1].encoded.seq, records[-1].ended
            if seq > self._limits.get(name, 0) - RESERVE // 2:
                self._limits[name] = seq + RESERVE
            ended = ended and not self._held
            (self._running.discard if ended else self._running.add)(name)
            state = next((it.state for it in reversed(records) if it.state), None)
            events = tuple(self._json(it.encoded) for it in records)
            yield Checkpoint(name, seq, self._limits[name], state, events, ended)

    def _json(self, encoded: EncodedEvent) -> str:
        return encoded.json if self._config.keep_text else encoded.json_without_text

    def _lose(self, names: Iterable[str]) -> None:
        for name in names:
            log.error("another engine has continued %s, so it ends here: did this one stand still?", name)
            self._lost.add(name)
            self._running.discard(name)
            self._losses.put_nowait(name)

    def _deliver(self, batch: Iterable[_Record]) -> None:
        """Not what belongs to a conversation that was lost: its new owner has used these numbers."""
        for record in batch:
            if record.encoded.event.conversation in self._lost:
                continue
            if self._inner is None:
                record.deliver()
            else:
                self._inner.append(record.encoded, record.deliver, None)


@asynccontextmanager
async def open_shared_writer(
    store: ConversationStore, config: SharedWriterConfig, inner: EventWriter | None
) -> AsyncIterator[SharedEventWriter]:
    """The writer, until the block ends; then what is running is released."""
    writer = SharedEventWriter(store, config, inner)
    async with asyncio.TaskGroup() as tasks:
        pump = tasks.create_task(writer.pump(), name="conversation store")
        owning = tasks.create_task(writer.keep_owning(), name="leases")
        try:
            yield writer
        finally:
            owning.cancel()
            if not pump.done():
                await writer.finish()
            pump.cancel()

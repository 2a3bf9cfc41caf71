"""Where events go beside sockets: the event log, and the brokers. Opened before the engine, closed after it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.config import Settings
from engine.publish.brokers import Brokers, open_brokers
from engine.publish.hub import Hub
from engine.publish.journal import Journal, JournalConfig, open_journal
from engine.publish.mqtt_broker import parse_brokers
from engine.timing import unix_s

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlets:
    """`hub` is what the engine publishes to. The others are None where no setting asks for them."""

    hub: Hub
    journal: Journal | None = None
    brokers: Brokers | None = None

    async def forget(self, conversation: str) -> int:
        """Everything about an ended conversation. How many of its events were in the log. Raises sqlite3.Error."""
        await self.hub.flush()
        self.hub.forget(conversation)
        if self.journal is None:
            return 0
        speakers = await self.journal.call(self.journal.log.speakers, conversation)
        deleted = await self.journal.forget(conversation)
        if self.brokers:
            self.brokers.forget(conversation, speakers)
        return deleted

    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        status: dict[str, object] = {}
        if self.journal and self.journal.keeps_events:
            status["event_log"] = {"not_kept": self.journal.not_kept}
        if self.brokers:
            status["brokers"] = self.brokers.status()
        return status


@asynccontextmanager
async def open_outlets(settings: Settings) -> AsyncIterator[Outlets]:
    """Raises StoreError where the event log cannot be opened, and BrokerError where a broker cannot be used."""
    run = f"{round(unix_s() * 1e3):x}"
    async with AsyncExitStack() as stack:
        journal, brokers = None, None
        if settings.event_log or settings.mqtt:
            journal = await stack.enter_async_context(open_journal(_journal_config(settings)))
        if settings.mqtt and journal:
            brokers = await stack.enter_async_context(open_brokers(settings, journal, run))
        hub = Hub(settings.replay_events, settings.subscriber_queue, run=run, journal=journal)
        yield Outlets(hub, journal, brokers)


def _journal_config(settings: Settings) -> JournalConfig:
    return JournalConfig(
        path=settings.event_log,
        keep_text=settings.keep_text,
        max_age_s=settings.event_log_days * DAY_S,
        max_bytes=settings.event_log_mb << 20,
        brokers=tuple(broker.name for broker in parse_brokers(settings.mqtt)),
        outbox_rows=settings.mqtt_outbox_events,
        outbox_age_s=settings.mqtt_expiry_s,
    )

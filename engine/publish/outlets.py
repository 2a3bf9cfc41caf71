"""Where events go beside sockets: the event log, and the brokers. Opened before the engine, closed after it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.config import Settings
from engine.publish.hub import Hub
from engine.publish.journal import Journal, JournalConfig, open_journal
from engine.timing import unix_s

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlets:
    """`hub` is what the engine publishes to. `journal` is None where no setting asks for one."""

    hub: Hub
    journal: Journal | None = None

    async def forget(self, conversation: str) -> int:
        """Everything about an ended conversation. How many of its events were in the log. Raises sqlite3.Error."""
        await self.hub.flush()
        self.hub.forget(conversation)
        return await self.journal.forget(conversation) if self.journal else 0

    @property
    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        if self.journal is None or not self.journal.keeps_events:
            return {}
        return {"event_log": {"not_kept": self.journal.not_kept}}


@asynccontextmanager
async def open_outlets(settings: Settings) -> AsyncIterator[Outlets]:
    """Raises StoreError where the event log cannot be opened."""
    run = f"{round(unix_s() * 1e3):x}"
    async with AsyncExitStack() as stack:
        journal = None
        if settings.event_log:
            journal = await stack.enter_async_context(open_journal(_journal_config(settings, run)))
        hub = Hub(settings.replay_events, settings.subscriber_queue, run=run, journal=journal)
        yield Outlets(hub, journal)


def _journal_config(settings: Settings, run: str) -> JournalConfig:
    return JournalConfig(
        path=settings.event_log,
        keep_text=settings.keep_text,
        max_age_s=settings.event_log_days * DAY_S,
        max_bytes=settings.event_log_mb << 20,
        run=run,
    )

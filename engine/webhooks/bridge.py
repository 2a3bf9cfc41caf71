"""All webhooks together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.config import Settings
from engine.delivery.change import ChangeDetector, change_rule
from engine.store.writer import EventWriter
from engine.webhooks.endpoint import parse_endpoints, parse_events, parse_secrets
from engine.webhooks.feed import WebhookFeed
from engine.webhooks.sender import WebhookSender

log = logging.getLogger(__name__)


class Webhooks:
    """Use inside `open_webhooks`."""

    def __init__(self, senders: list[WebhookSender], event_writer: EventWriter) -> None:
        self._senders = senders
        self._event_writer = event_writer

    def forget(self, conversation: str) -> None:
        """Send nothing more of this conversation. Call it when the outbox has forgotten it."""
        for sender in self._senders:
            sender.forget(conversation)

    def status(self) -> dict[str, dict[str, object]]:
        """For `/readyz`, by name. The engine is ready also while a webhook fails."""
        outbox, lost = self._event_writer.outbox, self._event_writer.lost_outbox
        return {
            it.name: it.status() | {"waiting": outbox.waiting(it.name), "dropped": outbox.dropped[it.name] + lost}
            for it in self._senders
        }


def webhook_feed(settings: Settings) -> WebhookFeed:
    """What the event writer writes for the webhooks of the settings. Raises WebhookError."""
    changes = ChangeDetector(change_rule(settings))
    return WebhookFeed(changes, parse_events(settings.webhook_events), with_text=settings.webhook_text)


@asynccontextmanager
async def open_webhooks(settings: Settings, event_writer: EventWriter, feed: WebhookFeed) -> AsyncIterator[Webhooks]:
    """Sends in the background, since a receiver may be down. On exit, sends what waits. Raises WebhookError."""
    secrets = parse_secrets(settings.webhook_secret)
    endpoints = parse_endpoints(settings.webhook)
    senders = [WebhookSender(it, secrets, event_writer, settings.webhook_give_up_s) for it in endpoints]
    if settings.webhook_text and not all(it.encrypted for it in endpoints):
        log.warning("words are sent to a webhook without TLS, and can be read on the way: use https")
    async with asyncio.TaskGroup() as tasks:
        for sender in senders:
            feed.arrived.append(sender.arrived)
            tasks.create_task(sender.run(), name=f"webhook {sender.name}")
        try:
            yield Webhooks(senders, event_writer)
        finally:
            await event_writer.flush()
            await asyncio.gather(*(sender.close() for sender in senders))

"""Which events go to webhooks, and their messages. Pure."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic_core import from_json

from engine.delivery.change import ChangeDetector
from engine.delivery.wire import EncodedEvent, to_json
from engine.events import ConversationEnded, EmotionEvent
from engine.store.outbox import Kind, OutboxRow
from engine.webhooks.endpoint import WebhookEvent

TYPES: dict[Kind, str] = {
    "webhook.final": "emotion.final",
    "webhook.change": "emotion.change",
    "webhook.ended": "conversation.ended",
}


class WebhookFeed:
    """The `OutboxFeed` of the event writer for all webhooks. `arrived` are set when there are new rows."""

    def __init__(self, changes: ChangeDetector, events: frozenset[WebhookEvent], *, with_text: bool) -> None:
        self.arrived: list[asyncio.Event] = []
        self._changes = changes
        self._events = events
        self._with_text = with_text

    def rows(self, encoded: EncodedEvent, at_s: float) -> list[OutboxRow]:
        """See `OutboxFeed`."""
        event = encoded.event
        if isinstance(event, ConversationEnded):
            self._changes.forget(event.conversation)
            row = OutboxRow(0, at_s, "webhook.ended", encoded.id, event.conversation, "", encoded.json)
            return [row] if "ended" in self._events else []
        if not isinstance(event, EmotionEvent) or event.status == "interim":
            return []
        rows = []
        json = encoded.json if self._with_text else encoded.json_without_text
        final = OutboxRow(0, at_s, "webhook.final", encoded.id, event.conversation, event.speaker, json)
        if "final" in self._events:
            rows.append(final)
        previous = self._changes.push(event)
        if previous is not None and "change" in self._events:
            json = to_json(encoded.body(with_text=self._with_text) | {"previous": previous})
            rows.append(final._replace(kind="webhook.change", id=f"{encoded.id}/change", json=json))
        return rows

    def delivered(self, rows: Sequence[OutboxRow]) -> None:
        """See `OutboxFeed`."""
        if any(row.kind in TYPES for row in rows):
            for arrived in self.arrived:
                arrived.set()


def message(row: OutboxRow) -> bytes:
    """The body of the request. Raises ValueError where the row cannot be read."""
    at = datetime.fromtimestamp(row.at_s, UTC).isoformat(timespec="milliseconds")
    return to_json({"type": TYPES[row.kind], "timestamp": at, "data": from_json(row.json)}).encode()

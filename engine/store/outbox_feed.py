"""What goes into the outbox."""

from collections.abc import Sequence
from typing import Protocol

from engine.delivery.wire import EncodedEvent
from engine.store.outbox import OutboxRow


class OutboxFeed(Protocol):
    """Decides what goes into the outbox."""

    def rows(self, encoded: EncodedEvent, at_s: float) -> list[OutboxRow]:
        """Rows of one event, in order. Called for every event in order; `at_s` is wall clock."""

    def delivered(self, rows: Sequence[OutboxRow]) -> None:
        """Called on the loop when these rows are stored and their events are delivered to subscribers."""


class NoOutboxFeed:
    """Nothing goes into the outbox."""

    def rows(self, encoded: EncodedEvent, at_s: float) -> list[OutboxRow]:
        return []

    def delivered(self, rows: Sequence[OutboxRow]) -> None:
        pass


class OutboxFeeds:
    """Several as one."""

    def __init__(self, feeds: Sequence[OutboxFeed]) -> None:
        self._feeds = feeds

    def rows(self, encoded: EncodedEvent, at_s: float) -> list[OutboxRow]:
        """See `OutboxFeed`."""
        return [row for feed in self._feeds for row in feed.rows(encoded, at_s)]

    def delivered(self, rows: Sequence[OutboxRow]) -> None:
        """See `OutboxFeed`."""
        for feed in self._feeds:
            feed.delivered(rows)

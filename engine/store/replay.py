"""Replay of events that the hub no longer keeps, from the event log."""

import logging
import sqlite3
from collections.abc import AsyncIterator

from engine.delivery.hub import Hub
from engine.store.writer import EventWriter

MAX_EVENTS = 10_000  # for more there is `/conversations/{id}/events`
PAGE_EVENTS = 200

log = logging.getLogger(__name__)


async def replay_from_log(
    hub: Hub, event_writer: EventWriter | None, conversation: str, after_seq: int
) -> AsyncIterator[tuple[int, list[str]]]:
    """Pages of (last sequence number, events as JSON), from `after_seq` to the first event that the hub keeps.

    A page is read when the caller asks for it. There are no pages where the log lacks some of those events.
    """
    if event_writer is None or not event_writer.keeps_events:
        return
    try:
        start = hub.replay_start(conversation)
        if after_seq >= start or not await event_writer.call(
            event_writer.log.reaches, conversation, after_seq, start, MAX_EVENTS
        ):
            return
        while after_seq < (start := hub.replay_start(conversation)) and event_writer.complete:
            page = await event_writer.call(event_writer.log.events, conversation, after_seq, PAGE_EVENTS)
            found = [(seq, text) for seq, text in page if seq <= start]
            # `start` was read before the page, so a page that is not full has all events up to `start`.
            after_seq = found[-1][0] if len(found) == PAGE_EVENTS else start
            yield after_seq, [hub.shown(text) for _, text in found]
    except sqlite3.Error as error:
        log.error("the event log of %s cannot be read for replay: %s", conversation, error)

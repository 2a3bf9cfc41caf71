"""What the hub's ring no longer has, from the event log: so that a long absence is no loss either."""

import logging
import sqlite3
from collections.abc import AsyncIterator

from engine.delivery.hub import Hub
from engine.store.writer import EventWriter

MOST = 10_000  # events; who wants more reads `/conversations/{id}/events`
PAGE = 200

log = logging.getLogger(__name__)


async def replay_from_log(
    hub: Hub, event_writer: EventWriter | None, conversation: str, after_seq: int
) -> AsyncIterator[tuple[int, list[str]]]:
    """(up to which number, its events' JSON), page by page, from `after_seq` to where the hub's ring begins.

    A page is read when the one before was taken. None comes where the log has not got all that was kept.
    """
    if event_writer is None or not event_writer.keeps_events:
        return
    try:
        start = hub.ring_start(conversation)
        if after_seq >= start or not await event_writer.call(
            event_writer.log.reaches, conversation, after_seq, start, MOST
        ):
            return
        while after_seq < (start := hub.ring_start(conversation)) and not event_writer.not_kept:
            page = await event_writer.call(event_writer.log.events, conversation, after_seq, PAGE)
            found = [(seq, text) for seq, text in page if seq <= start]
            # `start` is older than the page: where it holds no more of those, there are none.
            after_seq = found[-1][0] if len(found) == PAGE else start
            yield after_seq, [text for _, text in found]
    except sqlite3.Error as error:
        log.error("earlier events of %s cannot be read: %s", conversation, error)

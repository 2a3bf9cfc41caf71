"""Deletes events and outbox rows beyond the limits of age and size."""

import asyncio
import logging
import sqlite3
from dataclasses import dataclass

from engine.runtime.clocks import unix_s
from engine.store.writer import EventWriter

EVERY_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """Limits of the event log, and the age limits of the outbox and of states of conversations that do not run."""

    max_age_s: float = 30 * 86_400.0
    max_bytes: int = 1 << 30
    outbox_age_s: float = 86_400.0
    state_age_s: float = 30.0


async def apply_retention(event_writer: EventWriter, config: RetentionConfig) -> None:
    """Delete what is beyond the limits now. Raises sqlite3.Error."""
    now_s, events = unix_s(), event_writer.log
    await event_writer.call(event_writer.outbox.expire, now_s - config.outbox_age_s)
    while await event_writer.call(events.expire, now_s - config.max_age_s):
        pass
    while await event_writer.call(events.shrink, config.max_bytes):
        pass
    await event_writer.call(event_writer.states.expire, now_s - config.state_age_s, event_writer.active)
    event_writer.drop(await event_writer.call(events.drop_empty, event_writer.active))
    await event_writer.scrub()


async def keep_within_limits(event_writer: EventWriter, config: RetentionConfig) -> None:
    """`apply_retention` every EVERY_S until cancelled."""
    while True:
        try:
            await apply_retention(event_writer, config)
        except sqlite3.Error as error:
            log.error("old events cannot be deleted from the event log: %s", error)
        await asyncio.sleep(EVERY_S)

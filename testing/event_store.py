"""An event log in a file, with the hub whose events it stores."""

import json
from contextlib import asynccontextmanager

from engine.delivery.hub import Hub
from engine.store.writer import EventWriterConfig, open_event_writer


@asynccontextmanager
async def kept(path, **config):
    """(hub, event writer) with this file."""
    async with open_event_writer(EventWriterConfig(str(path), **config)) as event_writer:
        yield Hub(run="r", event_writer=event_writer), event_writer


async def history(event_writer, conversation="demo", after_seq=0, limit=1000):
    found = await event_writer.call(event_writer.log.events, conversation, after_seq, limit)
    return [(seq, json.loads(text)) for seq, text in found]

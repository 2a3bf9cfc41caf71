"""HTTP: a stored conversation as a file, in one of the formats of `engine.export`."""

import asyncio
import re
from urllib.parse import quote

from starlette.responses import Response

from engine.export.conversation import exported_conversation
from engine.export.formats import Format
from engine.store.writer import EventWriter

PAGE_EVENTS = 1000  # per query, so that the thread of the database is never taken for long


class Exports:
    """Files from the event log. One is made at a time, since all turns of its conversation are then in memory."""

    def __init__(self, events: EventWriter) -> None:
        self._events = events
        self._one = asyncio.Lock()

    async def file(self, conversation: str, form: Format) -> Response | None:
        """None where nothing of it is stored."""
        async with self._one:
            messages = await self._messages(conversation)
            if not messages:
                return None
            body = await asyncio.to_thread(_written, conversation, messages, form)
        # An attachment, since a report that a browser shows would be a page of the engine's own origin.
        return Response(body, 200, {"Content-Disposition": _disposition(conversation, form)}, form.media_type)

    async def _messages(self, conversation: str) -> list[str]:
        messages: list[str] = []
        after = 0
        while page := await self._events.query(self._events.log.events, conversation, after, PAGE_EVENTS):
            messages += [text for _, text in page]
            after = page[-1][0]
        return messages


def _disposition(conversation: str, form: Format) -> str:
    """A file name without what file systems do not allow, in ASCII and in full (RFC 6266)."""
    name = re.sub(r"[^\w .-]", "_", conversation).strip(". ") or "conversation"
    name += form.suffixes[0]
    plain = re.sub(r"[^ -~]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _written(conversation: str, messages: list[str], form: Format) -> bytes:
    return form.write([exported_conversation(conversation, messages)]).encode()

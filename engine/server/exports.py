"""HTTP: a conversation as a file, in one of the formats of `engine.export`."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from starlette.responses import Response

from engine.delivery.hub import Hub
from engine.events import ChangeRule
from engine.export.conversation import ExportedConversation, exported_sessions
from engine.export.formats import Format
from engine.store.writer import EventWriter

PAGE_EVENTS = 1000  # per query, so that the thread of the database is never taken for long
ALL, LATEST = "all", "latest"


class NoSuchSessionError(Exception):
    """The conversation has no session with this number."""


class Exports:
    """Files from the event log, or without one from what the hub keeps for replay.

    One is made at a time, since all turns of its conversation are then in memory.
    """

    def __init__(self, hub: Hub, events: EventWriter | None) -> None:
        self._hub = hub
        self._events = events
        self._one = asyncio.Lock()

    async def file(self, conversation: str, form: Format, session: str) -> Response | None:
        """None where there is nothing of it. `session`: the number of one, "latest", or "all".

        Raises WireError where an event is damaged, NoSuchSessionError.
        """
        async with self._one:
            messages = await (self._stored(conversation) if self._events else self._kept(conversation))
            if not messages:
                return None
            return await asyncio.to_thread(_response, conversation, messages, form, session, self._hub.change)

    async def _stored(self, conversation: str) -> list[str]:
        assert self._events is not None
        messages: list[str] = []
        after = 0
        while page := await self._events.query(self._events.log.events, conversation, after, PAGE_EVENTS):
            messages += [text for _, text in page]
            after = page[-1][0]
        return messages

    async def _kept(self, conversation: str) -> list[str]:
        await self._hub.load(conversation)
        return self._hub.kept(conversation)


def _response(name: str, messages: Sequence[str], form: Format, session: str, change: ChangeRule) -> Response:
    """The headers say how many sessions there are, and whether the file has all of the one that was asked for."""
    sessions = exported_sessions(name, messages) or [ExportedConversation(name, ())]
    chosen = [replace(it, change=change) for it in _chosen(sessions, session)]
    headers = {
        # An attachment, since a report that a browser shows would be a page of the engine's own origin.
        "Content-Disposition": _disposition(name, form),
        "CBERL-Sessions": str(len(sessions)),
        "CBERL-Complete": "true" if all(it.started_seq is not None for it in chosen if it.turns) else "false",
    }
    return Response(form.write(chosen).encode(), 200, headers, form.media_type)


def _chosen(sessions: list[ExportedConversation], session: str) -> list[ExportedConversation]:
    if session == ALL:
        return sessions
    if session == LATEST:
        return sessions[-1:]
    found = [it for it in sessions if str(it.session) == session]
    if not found:
        raise NoSuchSessionError
    return found


def _disposition(conversation: str, form: Format) -> str:
    """A file name without what file systems do not allow, in ASCII and in full (RFC 6266)."""
    name = re.sub(r"[^\w .-]", "_", conversation).strip(". ") or "conversation"
    name += form.suffixes[0]
    plain = re.sub(r"[^ -~]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

"""HTTP: list conversations, read the events of one, export one, delete one."""

import asyncio
import sqlite3

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.access.guard import Access
from engine.delivery.wire import WireError, encode
from engine.events import Error
from engine.export.formats import FORMATS
from engine.server.exports import ALL, LATEST, Exports, NoSuchSessionError
from engine.server.overview import Overview
from engine.server.sinks import EventSinks
from engine.store.shared.conversation_store import ConversationStoreError

MAX_EVENTS = 1000  # per page


def history_routes(sinks: EventSinks, access: Access) -> list[Route]:
    """`/conversations` and below."""
    hub, event_writer = sinks.hub, sinks.event_writer
    kept = event_writer if event_writer is not None and event_writer.keeps_events else None
    overview = Overview(hub, kept)
    exports = Exports(hub, kept)

    async def conversations(request: Request) -> Response:
        access.check(request, "all")
        return JSONResponse({"conversations": await overview.conversations()})

    async def events(request: Request) -> Response:
        access.check(request, "history", request.path_params["id"])
        if kept is None:
            return _no_event_log()
        after = request.query_params.get("after_seq", "0")
        limit = request.query_params.get("limit", "100")
        if not (_is_number(after) and _is_number(limit) and 1 <= int(limit) <= MAX_EVENTS):
            return _error(400, "bad_request", f"after_seq is a number from 0 on, limit one from 1 to {MAX_EVENTS}.")
        conversation = request.path_params["id"]
        found = await kept.query(kept.log.events, conversation, int(after), int(limit))
        if not found and not await known(conversation):
            return _unknown(conversation)
        last_seq = found[-1][0] if found else int(after)
        body = f'{{"events":[{",".join(text for _, text in found)}],"last_seq":{last_seq}}}'
        return Response(body, media_type="application/json")

    async def export(request: Request) -> Response:
        conversation = request.path_params["id"]
        access.check(request, "history", conversation)
        form = FORMATS.get(request.query_params.get("format", ""))
        session = request.query_params.get("session", LATEST)
        if form is None:
            return _error(400, "bad_request", f"format is one of {', '.join(FORMATS)}.")
        if session == ALL and not form.several:
            return _error(400, "bad_request", f"A file in format {form.name} holds one session: name its number.")
        try:
            return await exports.file(conversation, form, session) or _unknown(conversation)
        except NoSuchSessionError:
            return _error(404, "unknown_session", "session is the number of one, from 1 on, or latest, or all.")
        except WireError as error:
            return _error(500, "damaged", f"A stored event of it cannot be read: {error}.")

    async def known(conversation: str) -> bool:
        if any(it.id == conversation for it in hub.conversations()):
            return True
        if kept is not None and bool(await kept.query(kept.log.events, conversation, 0, 1)):
            return True
        return sinks.recorder is not None and await sinks.recorder.has(conversation)

    async def delete(request: Request) -> Response:
        conversation = request.path_params["id"]
        access.check(request, "delete", conversation)
        if any(it.id == conversation and it.active for it in hub.conversations()):
            return _error(409, "running", f"{conversation[:64]} is running: delete it when it has ended.")
        if not await known(conversation):
            return _unknown(conversation)
        try:
            # Not cancelled when the client disconnects, so that a deletion is complete.
            deleted = await asyncio.shield(sinks.forget(conversation))
        except (sqlite3.Error, OSError) as error:
            return _error(500, "not_deleted", f"What is stored of it cannot be deleted: {error}.")
        except ConversationStoreError as error:
            return _error(503, "not_deleted", f"Try again: {error}.")
        return JSONResponse({"deleted_events": deleted})

    return [
        Route("/conversations", conversations),
        Route("/conversations/{id}/events", events),
        Route("/conversations/{id}/export", export),
        Route("/conversations/{id}", delete, methods=["DELETE"]),
    ]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _no_event_log() -> Response:
    return _error(404, "no_event_log", "This engine has no event log: see the setting event_log.")


def _unknown(conversation: str) -> Response:
    return _error(404, "unknown_conversation", f"There are no events of {conversation[:64]}.")


def _error(status: int, code: str, message: str) -> Response:
    return Response(encode(Error(code, message)), status, media_type="application/json")

"""The WebSockets `/events` and `/ingest`: what is asked for is checked, and all of them end at shutdown."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from engine.config import Settings
from engine.delivery.events_socket import CLOSE, events_socket, refuse, send_all
from engine.errors import RefusedError
from engine.events import Error
from engine.ingest.picture_decoder import PictureDecoder
from engine.ingest.protocol import IngestProtocol
from engine.ingest.websocket import IngestSocket, MediaDeadlines
from engine.media import ChunkSource
from engine.names import ALL_CONVERSATIONS, name_problem
from engine.server.client_limits import ClientLimits, client_address
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

Endpoint = Callable[[WebSocket], Coroutine[Any, Any, None]]


class BadRequestError(Exception):
    """The request is refused for good. Carries the error for its sender."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = Error(code, message, fatal=True)


class Sockets:
    """All WebSockets of the application."""

    def __init__(self, supervisor: Supervisor, settings: Settings, sinks: EventSinks, limits: ClientLimits) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._sinks = sinks
        self._limits = limits
        self._pictures = PictureDecoder()
        self._open: set[asyncio.Task[Any]] = set()
        self._publishers: dict[asyncio.Task[bool], IngestSocket] = {}

    @property
    def routes(self) -> list[WebSocketRoute]:
        return [
            WebSocketRoute("/events", self._endpoint(self._events)),
            WebSocketRoute("/ingest", self._endpoint(self._ingest)),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The sockets work inside."""
        async with self._pictures:
            yield

    async def end_publishers(self) -> None:
        """Returns when the events of their last turns are published. Their sockets stay open."""
        for publisher in self._publishers.values():
            publisher.stop()
        if self._publishers:
            await asyncio.wait(self._publishers)

    async def all_closed(self, within_s: float) -> None:
        """Wait until every socket has sent what is queued, and is closed."""
        if self._open:
            await asyncio.wait(self._open, timeout=within_s)

    def _endpoint(self, endpoint: Endpoint) -> Endpoint:
        async def run(websocket: WebSocket) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            await websocket.accept()
            # Uvicorn cancels endpoints that still run when the time for a shutdown is over. That is not an error.
            with suppress(asyncio.CancelledError):
                try:
                    with self._limits.socket(client_address(websocket)):
                        await endpoint(websocket)
                except RefusedError as refused:
                    await refuse(websocket, Error(refused.code, f"{refused}.", fatal=True), CLOSE["too_many"][0])
                except BadRequestError as bad:
                    await refuse(websocket, bad.error)

        return run

    async def _events(self, websocket: WebSocket) -> None:
        conversation, resume = _conversation(websocket), websocket.query_params.get("resume_from_seq")
        if resume is not None and not (resume.isascii() and resume.isdigit() and len(resume) < 16):
            raise BadRequestError("bad_request", f"resume_from_seq is a number from 0 on, not {resume[:40]!r}.")
        if resume is not None and conversation == ALL_CONVERSATIONS:
            raise BadRequestError("bad_request", "All conversations (*) are live only: no resume_from_seq.")
        after_seq = None if resume is None else int(resume)
        await events_socket(websocket, self._sinks.hub, self._sinks.replay, conversation, after_seq)

    async def _ingest(self, websocket: WebSocket) -> None:
        conversation, settings = _conversation(websocket), self._settings
        if conversation == ALL_CONVERSATIONS:
            raise BadRequestError("bad_name", "'*' means all conversations, and is not the name of one.")

        async def join(source: ChunkSource) -> None:
            self._limits.conversation(client_address(websocket), conversation)
            await self._supervisor.join(conversation, source, live=True)

        outbox = self._sinks.hub.subscribe(conversation)
        protocol = IngestProtocol(settings.max_message_bytes, settings.max_tracks, settings.video_fps)
        deadlines = MediaDeadlines(settings.first_media_s, settings.idle_media_s)
        publisher = IngestSocket(websocket, conversation, protocol, join, outbox, self._pictures, deadlines)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(send_all(websocket, outbox), name="ingest writer")
            running = group.create_task(publisher.run(), name=f"publisher socket of {conversation}")
            self._publishers[running] = publisher
            running.add_done_callback(self._publishers.pop)
            await asyncio.wait([running])
            if running.cancelled() or running.exception() or running.result():
                writer.cancel()  # it may wait for a send buffer that is no longer read


def _conversation(websocket: WebSocket) -> str:
    """The requested conversation. Raises BadRequestError."""
    conversation = websocket.query_params.get("conversation", "")
    if problem := name_problem("The query's conversation", conversation):
        raise BadRequestError("bad_name", problem)
    return conversation

"""The WebSockets `/events`, `/ingest` and `/signal`: what is asked for is checked, and all of them end at shutdown."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from hmac import compare_digest
from typing import Any

from pydantic_core import from_json
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from engine.access.guard import Access, token_of
from engine.access.tokens import MAX_TOKEN_BYTES, AccessError, Grant
from engine.config import Settings
from engine.delivery.events_socket import CLOSE, events_socket, refuse, send_all
from engine.delivery.subscription import Subscription
from engine.errors import RefusedError
from engine.events import Error
from engine.ingest.picture_decoder import PictureDecoder
from engine.ingest.protocol import IngestProtocol
from engine.ingest.publisher_session import MediaDeadlines, PublisherSession
from engine.ingest.websocket import IngestSocket
from engine.media import ChunkSource
from engine.names import ALL_CONVERSATIONS, name_problem
from engine.runtime.limits import Client
from engine.server.calls import CALLER_KEY, Calls, call_socket
from engine.server.client_limits import ClientLimits, client_address, client_with
from engine.server.refusals import Refusals
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

Endpoint = Callable[[WebSocket, Grant, Client], Coroutine[Any, Any, None]]


class BadRequestError(Exception):
    """The request is refused for good. Carries the error for its sender."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = Error(code, message, fatal=True)


class Sockets:
    """All WebSockets of the application."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: Settings,
        sinks: EventSinks,
        limits: ClientLimits,
        access: Access,
        refusals: Refusals,
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._sinks = sinks
        self._limits = limits
        self._access = access
        self._refusals = refusals
        self.pictures = PictureDecoder()
        self.calls = Calls()
        self._open: set[asyncio.Task[Any]] = set()
        self._publishers: dict[asyncio.Task[None], tuple[PublisherSession, Client]] = {}

    @property
    def routes(self) -> list[WebSocketRoute]:
        return [
            WebSocketRoute("/events", self._endpoint(self._events)),
            WebSocketRoute("/ingest", self._endpoint(self._ingest)),
            WebSocketRoute("/signal", self._endpoint(self._signal)),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The sockets work inside."""
        async with self.pictures:
            yield

    async def end_publishers(self) -> None:
        """Returns when the events of their last turns are published. Their sockets stay open."""
        for publisher, _ in self._publishers.values():
            publisher.stop()
        if self._publishers:
            await asyncio.wait(self._publishers)

    async def all_closed(self, within_s: float) -> None:
        """Wait until every socket has sent what is queued, and is closed."""
        self.calls.end()
        if self._open:
            await asyncio.wait(self._open, timeout=within_s)

    def _endpoint(self, endpoint: Endpoint) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
        async def run(websocket: WebSocket) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            await websocket.accept()
            # Uvicorn cancels endpoints that still run when the time for a shutdown is over. That is not an error.
            with suppress(asyncio.CancelledError):
                try:
                    with self._refusals.counted(), self._limits.socket(client_address(websocket)):
                        token = await self._token(websocket)
                        grant = self._access.read(token)
                        client = client_with(websocket, grant)
                        with self._limits.token_socket(client):
                            await self._while_valid(token, endpoint(websocket, grant, client))
                except AccessError as denied:
                    await refuse(websocket, Error(denied.code, str(denied), fatal=True))
                except RefusedError as refused:
                    await refuse(websocket, Error(refused.code, f"{refused}.", fatal=True), CLOSE["too_many"][0])
                except BadRequestError as bad:
                    await refuse(websocket, bad.error)

        return run

    async def _token(self, websocket: WebSocket) -> str | None:
        """Of its header or cookie; else the first message has it."""
        token = token_of(websocket)
        if token is None and self._access.required:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    token = token_in(await websocket.receive())
        return token

    async def _while_valid(self, token: str | None, work: Coroutine[Any, Any, None]) -> None:
        """Raises AccessError when the token has expired or was withdrawn, which ends the work."""
        working = asyncio.create_task(work, name="socket")
        watching = asyncio.create_task(self._access.until_invalid(token), name="token of a socket")
        try:
            await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
            (working if working.done() else watching).result()
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.wait([working, watching])

    async def _events(self, websocket: WebSocket, grant: Grant, client: Client) -> None:
        conversation, after_seq = _conversation(websocket), _resume_from_seq(websocket)
        if after_seq is not None and conversation == ALL_CONVERSATIONS:
            raise BadRequestError("bad_request", "All conversations (*) are live only: no resume_from_seq.")
        if conversation == ALL_CONVERSATIONS:
            grant.check("all")
        else:
            grant.check("listen", conversation)
        await self._sinks.hub.load(conversation)
        slow_down = partial(self._limits.message, client)
        await events_socket(websocket, self._sinks.hub, self._sinks.replay, conversation, after_seq, slow_down)

    async def _signal(self, websocket: WebSocket, grant: Grant, client: Client) -> None:
        """Of a video call, whose people see each other's emotions."""
        conversation, name = _conversation(websocket), websocket.query_params.get("name", "")
        key = websocket.query_params.get("key", "")
        if problem := name_problem("The query's name", name):
            raise BadRequestError("bad_name", problem)
        if conversation == ALL_CONVERSATIONS or not CALLER_KEY.fullmatch(key):
            raise BadRequestError("bad_request", "A call needs one conversation, and a key of 32 hexadecimal digits.")
        grant.check("listen", conversation, name)
        with self._refusals.counted():
            caller = self.calls.join(conversation, name, key)
        await call_socket(websocket, self.calls, caller, partial(self._limits.message, client))

    async def _ingest(self, websocket: WebSocket, grant: Grant, client: Client) -> None:
        conversation, after_seq, hub = _conversation(websocket), _resume_from_seq(websocket), self._sinks.hub
        if conversation == ALL_CONVERSATIONS:
            raise BadRequestError("bad_name", "'*' means all conversations, and is not the name of one.")
        grant.check("publish", conversation)
        # Without "listen", a publisher receives answers to its own messages alone.
        private = Subscription(self._settings.subscriber_queue, on_end=lambda it: None)
        await hub.load(conversation)
        outbox = hub.subscribe(conversation, after_seq) if "listen" in grant.scopes else private
        publisher = self._publisher(conversation, grant, client, outbox)
        find = partial(self._resumable, conversation, client)
        socket = IngestSocket(websocket, outbox, publisher, find, partial(self._limits.message, client))
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(send_all(websocket, outbox), name="ingest writer")
            reading = group.create_task(socket.read(), name=f"read a publisher of {conversation}")
            running = group.create_task(publisher.run(reading), name=f"publisher socket of {conversation}")
            self._publishers[running] = publisher, client
            running.add_done_callback(self._publishers.pop)
            await asyncio.wait([running])
            if not (publisher.stopping or (outbox.reason == "no_media")):
                writer.cancel()  # it may wait for a send buffer that is no longer read

    def _publisher(self, conversation: str, grant: Grant, client: Client, outbox: Subscription) -> PublisherSession:
        settings = self._settings

        async def join(source: ChunkSource) -> None:
            with self._refusals.counted():
                await self._supervisor.join(conversation, source, live=True, client=client)

        protocol = IngestProtocol(
            settings.max_message_bytes,
            settings.max_tracks,
            settings.video_fps,
            require_consent=settings.require_consent,
        )
        deadlines = MediaDeadlines(settings.first_media_s, settings.idle_media_s, settings.rejoin_grace_s)
        decode = partial(self.pictures, client=client, decoded=partial(self._limits.decoding, client))
        rate = partial(self._limits.picture, client)
        return PublisherSession(conversation, protocol, join, outbox, decode, deadlines, rate, grant.speaker)

    def _resumable(self, conversation: str, client: Client, key: str) -> PublisherSession | None:
        """The publisher whose session has this key, of the same token where there are tokens."""
        for publisher, owner in self._publishers.values():
            same = publisher.conversation == conversation and owner[1:] == client[1:]
            if same and key and compare_digest(publisher.key.encode(), key.encode(errors="replace")):
                return publisher
        return None


def token_in(message: Mapping[str, Any]) -> str | None:
    """The token in a message of a client that can send no header: {"type": "authenticate", "token": "…"}."""
    text = message.get("text") or ""
    try:
        body = from_json(text) if len(text) <= 2 * MAX_TOKEN_BYTES else None
    except ValueError:
        return None
    if not isinstance(body, dict) or body.get("type") != "authenticate":
        return None
    return str(body.get("token"))


def _conversation(websocket: WebSocket) -> str:
    """The requested conversation. Raises BadRequestError."""
    conversation = websocket.query_params.get("conversation", "")
    if problem := name_problem("The query's conversation", conversation):
        raise BadRequestError("bad_name", problem)
    return conversation


def _resume_from_seq(websocket: WebSocket) -> int | None:
    """The requested number. Raises BadRequestError."""
    resume = websocket.query_params.get("resume_from_seq")
    if resume is not None and not (resume.isascii() and resume.isdigit() and len(resume) < 16):
        raise BadRequestError("bad_request", f"resume_from_seq is a number from 0 on, not {resume[:40]!r}.")
    return None if resume is None else int(resume)

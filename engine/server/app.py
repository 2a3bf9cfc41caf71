"""Pages, HTTP endpoints and WebSockets on one port: Starlette on uvicorn."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.config import Settings
from engine.delivery.events_socket import events_socket, send_all
from engine.delivery.wire import encode, json_schema
from engine.errors import EngineError
from engine.events import Error
from engine.ingest.picture_decoder import PictureDecoder
from engine.ingest.protocol import IngestProtocol
from engine.ingest.webrtc.ice import parse_ice_servers
from engine.ingest.webrtc.peer import PeerConfig
from engine.ingest.webrtc.whip import Whip
from engine.ingest.websocket import IngestSocket
from engine.media import ChunkSource
from engine.names import ALL_CONVERSATIONS, name_problem
from engine.server.contract import asyncapi
from engine.server.history import history_routes
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

DASHBOARD = Path(__file__).resolve().parents[2] / "clients" / "dashboard"
CALL = DASHBOARD.parent / "call"
STOP_WITHIN_S = 5  # for the last turns of publishers at shutdown
UNREAD_FOR_MS = 30_000  # a peer that acknowledges nothing for this long is disconnected

Endpoint = Callable[[WebSocket], Coroutine[Any, Any, None]]


class ServerError(EngineError):
    """The server cannot start."""


def create_app(supervisor: Supervisor, settings: Settings, sinks: EventSinks | None = None) -> Starlette:
    """The ASGI application. It owns nothing: `supervisor` and `sinks` outlive it."""
    hub = supervisor.hub
    sinks = sinks or EventSinks(hub)
    pictures = PictureDecoder()

    async def index(request: Request) -> Response:
        page = DASHBOARD / "index.html"
        if not page.is_file():
            return PlainTextResponse("The dashboard is not part of this installation.", status_code=404)
        return FileResponse(page)

    async def call(request: Request) -> Response:
        return FileResponse(CALL / "index.html")

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        ready = supervisor.ready
        status = {"ready": ready, **supervisor.status, **sinks.status()}
        return JSONResponse(status, status_code=200 if ready else 503)

    async def contract(request: Request) -> Response:
        return JSONResponse(asyncapi())

    async def schema(request: Request) -> Response:
        return JSONResponse(json_schema(), media_type="application/schema+json")

    async def events(websocket: WebSocket) -> None:
        await websocket.accept()
        resume = websocket.query_params.get("resume_from_seq")
        if (conversation := await _conversation(websocket, settings)) is None:
            return
        if resume is not None and not (resume.isascii() and resume.isdigit() and len(resume) < 16):
            problem = f"resume_from_seq is a number from 0 on, not {resume[:40]!r}."
            await _refuse(websocket, "bad_request", problem)
            return
        if resume is not None and conversation == ALL_CONVERSATIONS:
            await _refuse(websocket, "bad_request", "All conversations (*) are live only: no resume_from_seq.")
            return
        await events_socket(websocket, hub, sinks.replay, conversation, None if resume is None else int(resume))

    async def ingest(websocket: WebSocket) -> None:
        await websocket.accept()
        if (conversation := await _conversation(websocket, settings)) is None:
            return

        if conversation == ALL_CONVERSATIONS:
            await _refuse(websocket, "bad_name", "'*' means all conversations, and is not the name of one.")
            return

        async def join(source: ChunkSource) -> None:
            await supervisor.join(conversation, source, live=True)

        outbox = hub.subscribe(conversation)
        protocol = IngestProtocol(
            settings.max_message_bytes,
            settings.max_tracks,
            settings.video_fps,
            require_consent=settings.require_consent,
        )
        ingest_socket = IngestSocket(websocket, conversation, protocol, join, outbox, pictures)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(send_all(websocket, outbox), name="ingest writer")
            await ingest_socket.run()
            writer.cancel()  # it may wait for a send buffer that is no longer read

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        async with pictures, whip.running(STOP_WITHIN_S):
            yield

    whip = _whip(supervisor, settings)
    return Starlette(
        routes=[
            Route("/", index),
            Route("/call", call),
            Mount("/static/call", StaticFiles(directory=CALL, check_dir=False)),
            Mount("/static", StaticFiles(directory=DASHBOARD, check_dir=False)),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *history_routes(sinks),
            Route("/asyncapi.json", contract),
            Route("/schema/events.json", schema),
            WebSocketRoute("/events", _until_cancelled(events)),
            WebSocketRoute("/ingest", _until_cancelled(ingest)),
            *whip.routes,
        ],
        lifespan=running,
    )


async def serve(
    app: Starlette, settings: Settings, started: Callable[[str], None], *, until_signal: bool = True
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. Then close the sockets (1012) and publish the last turns.

    `started` is called with the URL when connections are accepted. Without `until_signal`, signals are left to the
    caller. Raises ServerError where it cannot listen.
    """
    listener = await _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        # A message slightly too large is answered with an error; one far too large closes the connection.
        ws_max_size=2 * settings.max_message_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level=None,  # logging is configured by the caller
        access_log=False,
        workers=1,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server = _Server(config, lambda: started(url), until_signal)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving  # within STOP_WITHIN_S
        raise


class _Server(uvicorn.Server):
    """Reports its start, and returns on a signal, where uvicorn would raise the signal again."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None], until_signal: bool) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._until_signal = until_signal

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._until_signal or threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _listen(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address, family=family)
    except socket.gaierror as error:
        raise ServerError(f"cannot listen on {host}: {error.args[-1]}; choose another with --host") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without the address that asyncio and socket add
        raise ServerError(f"cannot listen on {host} port {port}: {reason}; choose another with --port") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by accepted sockets
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_FOR_MS)
    return listener


def _until_cancelled(endpoint: Endpoint) -> Endpoint:
    """Uvicorn cancels endpoints that still run STOP_WITHIN_S after a stop was requested. That is not an error."""

    async def run(websocket: WebSocket) -> None:
        with suppress(asyncio.CancelledError):
            await endpoint(websocket)

    return run


def _whip(supervisor: Supervisor, settings: Settings) -> Whip:
    try:
        servers = parse_ice_servers(settings.ice_servers)
    except ValueError as error:
        raise ServerError(str(error)) from error
    config = PeerConfig(servers, settings.video_fps, settings.media_timeout_s, settings.require_consent)
    return Whip(
        lambda conversation, speaker: supervisor.open_slot(conversation, speaker),
        lambda request: _forbidden_origin(request, settings),
        config,
        settings.max_tracks,
        settings.allow_origin,
    )


def _forbidden_origin(connection: HTTPConnection, settings: Settings) -> str | None:
    """Why the page that connects is refused, in a sentence, or None."""
    origin = connection.headers.get("origin")
    # Browsers allow any page to connect to any host. Without this check any visited site could read events.
    own = [f"{scheme}://{connection.url.netloc}" for scheme in ("http", "https")]
    if origin and origin not in own and settings.allow_origin not in ("*", origin):
        return f"Pages of {origin[:100]} may not connect: see the setting allow_origin."
    return None


async def _conversation(websocket: WebSocket, settings: Settings) -> str | None:
    """The requested conversation, or None after the socket was refused."""
    if refusal := _forbidden_origin(websocket, settings):
        await _refuse(websocket, "forbidden_origin", refusal)
        return None
    conversation = websocket.query_params.get("conversation", "")
    if problem := name_problem("The query's conversation", conversation):
        await _refuse(websocket, "bad_name", problem)
        return None
    return conversation


async def _refuse(websocket: WebSocket, code: str, message: str) -> None:
    """Sends the error on the socket, because a browser does not show its page the HTTP response to a WebSocket."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(encode(Error(code, message, fatal=True)))
        await websocket.close(1008)

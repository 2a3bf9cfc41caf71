"""The ASGI application: pages, HTTP endpoints, WebSockets and WHIP, and their end at shutdown."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from engine.access.guard import Access, token_of
from engine.access.tokens import AccessError
from engine.config import Settings
from engine.delivery.wire import encode
from engine.errors import EngineError
from engine.events import Error
from engine.ingest.webrtc.ice import parse_ice_servers
from engine.ingest.webrtc.peer import PeerConfig, PeerLimits
from engine.ingest.webrtc.publication import Admission, Publish
from engine.ingest.webrtc.whip import Whip
from engine.runtime.loop_lag import LoopLag
from engine.server.client_limits import ClientLimits, client_address, client_with
from engine.server.history import history_routes
from engine.server.metrics import Measured, metrics_route
from engine.server.pages import page_routes
from engine.server.refusals import Refusals
from engine.server.requests import RequestGuard
from engine.server.sinks import EventSinks
from engine.server.sockets import Sockets
from engine.server.supervisor import Supervisor

log = logging.getLogger(__name__)


class EngineApp(Starlette):
    """From `create_app`."""

    def __init__(
        self,
        supervisor: Supervisor,
        sinks: EventSinks,
        limits: ClientLimits,
        sockets: Sockets,
        whip: Whip,
        refusals: Refusals,
        loop_lag: LoopLag,
        **options: Any,
    ) -> None:
        self.limits = limits
        self._refusals = refusals
        self._supervisor = supervisor
        self._hub = sinks.hub
        self._sockets = sockets
        self._whip = whip
        self._loop_lag = loop_lag
        super().__init__(
            **options,
            exception_handlers={AccessError: self._denied, sqlite3.Error: _log_unavailable},
            lifespan=lambda app: self._running(),
        )

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with self._sockets.running(), self._whip.running(), asyncio.TaskGroup() as tasks:
            measuring = tasks.create_task(self._loop_lag.run(), name="event loop lag")
            try:
                yield
            finally:
                measuring.cancel()

    async def _denied(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, AccessError)
        self._refusals.add(error)
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        body = encode(Error(error.code, str(error), fatal=True))
        return Response(body, error.status, headers, media_type="application/json")

    async def drain(self, within_s: float) -> None:
        """For shutdown: end all turns and conversations, deliver their events, then close the sockets (1012).

        Sockets of readers that are too slow may be left open.
        """
        self._supervisor.refuse_new()
        try:
            async with asyncio.timeout(0.8 * within_s):
                await asyncio.gather(self._sockets.end_publishers(), self._whip.end_all())
                await self._supervisor.all_ended()
                await self._hub.flush()
        except TimeoutError:
            log.warning("some turns could not be finished within %.0f s and are lost", 0.8 * within_s)
        self._hub.end_subscriptions("restart")
        await self._sockets.all_closed(0.2 * within_s)


def create_app(
    supervisor: Supervisor, settings: Settings, sinks: EventSinks | None = None, *, access: Access
) -> EngineApp:
    """The application. It owns nothing: `supervisor` and `sinks` outlive it. Raises EngineError for wrong settings."""
    sinks = sinks or EventSinks(supervisor.hub)
    limits = ClientLimits(settings)
    refusals, loop_lag = Refusals(), LoopLag()
    sockets = Sockets(supervisor, settings, sinks, limits, access, refusals)
    whip = _whip(supervisor, settings, limits, access, refusals)
    measured = Measured(settings, supervisor, sinks, limits, refusals, sockets.pictures, loop_lag)
    pages, history = page_routes(supervisor, sinks, access, settings.allow_origin), history_routes(sinks, access)
    routes = [*pages, *history, metrics_route(measured, access), *sockets.routes, *whip.routes]
    guard = Middleware(RequestGuard, settings)
    return EngineApp(supervisor, sinks, limits, sockets, whip, refusals, loop_lag, routes=routes, middleware=[guard])


def _whip(supervisor: Supervisor, settings: Settings, limits: ClientLimits, access: Access, refusals: Refusals) -> Whip:
    try:
        servers = parse_ice_servers(settings.ice_servers)
    except ValueError as error:
        raise EngineError(str(error)) from error

    def admit(request: Request, conversation: str, speaker: str) -> Admission:
        with refusals.counted():
            limits.offer(client_address(request))
        # A denial is counted by its handler.
        client = client_with(request, access.check(request, "publish", conversation, speaker))
        with refusals.counted():
            limits.offer(*client[1:])

        @asynccontextmanager
        async def open_slot() -> AsyncIterator[Publish]:
            with refusals.counted(), limits.peer(client):
                async with supervisor.open_slot(conversation, speaker, client=client) as publish:
                    yield publish

        until_invalid = partial(access.until_invalid, token_of(request))
        peer_limits = PeerLimits(partial(limits.decoding, client), partial(limits.packet, client))
        return Admission(open_slot, until_invalid, peer_limits)

    def may_publish(request: Request, conversation: str) -> bool:
        try:
            access.check(request, "publish", conversation)
        except AccessError:
            return False
        return True

    config = PeerConfig(servers, settings.video_fps, settings.media_timeout_s, settings.require_consent)
    return Whip(admit, may_publish, config, settings.max_tracks, settings.allow_origin)


async def _log_unavailable(request: Request, error: Exception) -> Response:
    body = encode(Error("unavailable", f"The event log cannot be read: {error}."))
    return Response(body, 503, {"Retry-After": "5"}, media_type="application/json")

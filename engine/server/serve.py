"""Serves the application on one port until a signal: uvicorn, with connections accepted by `listener.py`."""

import asyncio
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from engine.config import Settings
from engine.errors import EngineError
from engine.server.app import EngineApp
from engine.server.listener import Connections, HttpProtocol, Listener, ListenerConfig, NewProtocol, WebSocketProtocol
from engine.server.requests import trusted_proxies
from engine.server.tls import Certificate

DRAIN_S = 6.0  # at shutdown: for the turns in progress, and for their events to reach the sockets
SOCKETS_S = 2  # then, for the sockets to close
UNREAD_FOR_MS = 30_000  # a peer that acknowledges nothing for this long is disconnected


class ServerError(EngineError):
    """The server cannot start."""


async def serve(
    app: EngineApp,
    settings: Settings,
    started: Callable[[str], None],
    *,
    until_signal: bool = True,
    on_signal: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. Then end the turns, deliver their events, close the sockets (1012).

    `started` is called with the URL when connections are accepted, `on_signal` on the first signal. Without
    `until_signal`, signals are left to the caller. Raises ServerError where it cannot listen,
    TlsError where the certificate cannot be used.
    """
    certificate = Certificate(Path(settings.tls_cert), Path(settings.tls_key)) if settings.tls_cert else None
    listening = await _listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    config = ListenerConfig(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        # A message slightly too large is answered with an error; one far too large closes the connection.
        ws_max_size=2 * settings.max_message_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level=None,  # logging is configured by the caller
        access_log=False,
        workers=1,
        timeout_graceful_shutdown=SOCKETS_S,
        proxy_headers=bool(settings.trusted_proxy),
        forwarded_allow_ips=settings.trusted_proxy,
        server_header=False,
    )
    config.connections = Connections(app.limits.connections, trusted_proxies(settings.trusted_proxy))
    config.request_timeout_s = settings.request_timeout_s
    url = _url(host, port, "https" if certificate else "http")
    listener = partial(Listener, listening, config, tls=certificate or (lambda: None))
    server = _Server(config, app, listener, lambda: started(url), on_signal if until_signal else None)
    serving = asyncio.create_task(server.serve(sockets=[]), name="server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving  # within DRAIN_S + SOCKETS_S
        raise
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Reports its start, and returns on a signal, where uvicorn would raise the signal again."""

    def __init__(
        self,
        config: ListenerConfig,
        app: EngineApp,
        new_listener: Callable[[NewProtocol], Listener],
        on_started: Callable[[], None],
        on_signal: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._config = config
        self._listener = new_listener(self._new_protocol)
        self._accepting: asyncio.Task[None] | None = None
        self._on_started = on_started
        self._on_signal = on_signal

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._accepting = asyncio.create_task(self._listener.run(), name="accept connections")
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """In this order: accept nothing more, end the turns, deliver their events, close the sockets."""
        if self._accepting:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._listener.close()
        if not self.force_exit:
            await self._app.drain(DRAIN_S)
        await super().shutdown(sockets)

    def _new_protocol(self, accepted: socket.socket) -> asyncio.Protocol:
        protocol: asyncio.Protocol = HttpProtocol(self._config, self.server_state, self.lifespan.state, accepted)
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._on_signal and not self.should_exit:
            self._on_signal()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if self._on_signal is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _url(host: str, port: int, scheme: str) -> str:
    """Where this machine reaches it: the unspecified address stands for all addresses, and is none itself."""
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def _listen(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address, family=family, backlog=1024)
    except socket.gaierror as error:
        raise ServerError(f"cannot listen on {host}: {error.args[-1]}; choose another with --host") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without the address that asyncio and socket add
        raise ServerError(f"cannot listen on {host} port {port}: {reason}; choose another with --port") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by accepted sockets
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_FOR_MS)
    return listener

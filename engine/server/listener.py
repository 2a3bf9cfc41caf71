"""Accepts connections, within limits below that of open files, and gives each request a time to arrive.

asyncio's own server accepts a hundred connections at a time. Where descriptors run out, it logs each failure and tries
them all again; and it counts TLS connections only after their handshake, which may never come.
"""

import asyncio
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

from engine.delivery.direct_send import EXTENSION, text_frame
from engine.runtime.limits import Quota, client_of

WANTED_FILES = 65_536
RESERVED_FILES = 100  # for the event log, brokers, child processes and name servers
ACCEPT_AGAIN_S = 0.1
REFUSED_S = 0.002  # so 500 per second at most are refused: whoever connects again at once takes no more time than that
UNREAD_MESSAGES, SMALL_MESSAGE_BYTES = 4, 16 << 10  # so many so small ones may wait while a socket is read
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

log = logging.getLogger(__name__)

NewProtocol = Callable[[socket.socket], asyncio.Protocol]  # of an accepted connection


def raise_open_files() -> int:
    """Raise this process's limit of open files as far as it may. Returns how many more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return max(0, soft - len(os.listdir(folder)))


class Connections:
    """The open connections: counted from accept to close. Connections of `exempt` hosts count only together.

    A connection is known by its socket until it has a transport, and by that from then on.
    """

    def __init__(self, quota: Quota, exempt: Callable[[str], bool]) -> None:
        self.quota = quota
        self._exempt = exempt
        self._clients: dict[object, str] = {}

    def open(self, connection: socket.socket, host: str) -> str | None:
        """Why it is refused, or None: then call `close` at its end."""
        client = f"proxy {connection.fileno()}" if self._exempt(host) else client_of(host)
        refusal = self.quota.refusal(client)
        if refusal is None:
            self.quota.take(client)
            self._clients[connection] = client
        return refusal

    def started(self, connection: socket.socket, transport: asyncio.BaseTransport) -> None:
        self._clients[transport] = self._clients.pop(connection)

    def close(self, connection: object) -> None:
        """May be called again."""
        if (client := self._clients.pop(connection, None)) is not None:
            self.quota.release(client)


class ListenerConfig(uvicorn.Config):
    """What both protocols read beside uvicorn's own configuration."""

    connections: Connections
    request_timeout_s: float


class HttpProtocol(H11Protocol):
    """A connection is closed where a request's header, and then its body, take longer than `request_timeout_s`."""

    config: ListenerConfig

    def __init__(
        self, config: ListenerConfig, state: ServerState, app_state: dict[str, Any], accepted: socket.socket
    ) -> None:
        super().__init__(config, state, app_state)
        self._accepted = accepted
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.config.connections.started(self._accepted, transport)
        super().connection_made(transport)
        self._restart()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if self._timer is None:
            self._restart()
        super().data_received(data)
        if self.cycle is not None and self.cycle is not before:
            self._restart()  # the body has a time of its own
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            self._stop()

    def handle_websocket_upgrade(self, event: object) -> None:
        self._stop()
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)
        self.config.connections.close(self.transport)

    def _restart(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self.config.request_timeout_s, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    config: ListenerConfig

    def send_receive_event_to_app(self) -> None:
        """uvicorn stops reading at each message until it is taken: two system calls, which small ones are spared."""
        small = self.queue.qsize() < UNREAD_MESSAGES and sum(map(len, self.frames)) <= SMALL_MESSAGE_BYTES
        paused = self.read_paused
        self.read_paused = paused or small  # where it is set, uvicorn does not stop
        super().send_receive_event_to_app()
        if small:
            self.read_paused = paused

    async def run_asgi(self) -> None:
        self.scope["extensions"] = {**self.scope["extensions"], EXTENSION: {"send_text": self._send_now}}
        await super().run_asgi()

    def _send_now(self, text: str) -> bool:
        """A `SendNow`. uvicorn writes whole frames to the transport, so that another may be written between them."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.transport.is_closing():
            return False
        self.transport.write(text_frame(text))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.config.connections.close(self.transport)


class Listener:
    """Accepts from a listening socket until cancelled, one connection at a time."""

    def __init__(
        self,
        listening: socket.socket,
        config: ListenerConfig,
        new_protocol: NewProtocol,
        tls: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._listening = listening
        self._config = config
        self._new_protocol = new_protocol
        self._tls = tls

    def close(self) -> None:
        self._listening.close()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    connection, address = await loop.sock_accept(self._listening)
                except OSError as error:
                    log.warning("a connection cannot be accepted: %s", os.strerror(error.errno or 0))
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                refusal = self._config.connections.open(connection, address[0])
                if refusal is None:
                    tasks.create_task(self._start(connection), name="new connection")
                else:
                    log.warning("a connection was refused: %s", refusal)
                    with suppress(OSError):
                        connection.send(BUSY)
                    connection.close()
                # Accepting does not wait where many connect at once, but others must run.
                await asyncio.sleep(0 if refusal is None else REFUSED_S)

    async def _start(self, connection: socket.socket) -> None:
        tls = self._tls()
        timeout_s = None if tls is None else self._config.request_timeout_s
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                partial(self._new_protocol, connection), connection, ssl=tls, ssl_handshake_timeout=timeout_s
            )
        except (OSError, asyncio.CancelledError) as error:  # no TLS, or too late; ssl.SSLError is an OSError
            log.debug("a connection failed: %s", error)
            connection.close()
            self._config.connections.close(connection)
            if isinstance(error, asyncio.CancelledError):
                raise

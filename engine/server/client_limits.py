"""What each client may take of this engine: connections, conversations, and how often it may connect."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from engine.config import Settings
from engine.errors import EngineError, RefusedError
from engine.runtime.limits import Quota, RateLimit, client_of
from engine.server.listener import RESERVED_FILES, raise_open_files

FILES_PER_PEER = 4  # of WebRTC: one UDP socket per address of this machine, more with TURN
BURST_S = 5.0  # so many seconds' worth of new sockets at once
OFFER_COST = 5.0  # an offer of WebRTC is as much work as this many WebSockets
RETRY_AFTER_S = 5.0

log = logging.getLogger(__name__)


class ClientLimits:
    """A client is an address, or the /64 network of an IPv6 address."""

    def __init__(self, settings: Settings, runs: Callable[[str], bool]) -> None:
        """Raises the limit of open files as far as possible; the rest follows from it. Raises EngineError.

        `runs` tells whether a conversation runs.
        """
        files = raise_open_files() - RESERVED_FILES
        most, per_client = min(settings.max_connections, files // 2), settings.max_connections_per_address
        if most < 1:
            raise EngineError("the limit of open files is too low for a single connection: raise it with ulimit -n")
        if most < settings.max_connections:
            log.warning("the limit of open files allows %d connections, fewer than max_connections", most)
        self.connections = Quota(most, per_client)
        self.sockets = Quota(most, per_client)  # beside connections, because those of a proxy have its address
        self.peers = Quota(max(1, files // 2 // FILES_PER_PEER), per_client)
        self._new = RateLimit(settings.new_sockets_per_s, settings.new_sockets_per_s * BURST_S)
        self._most_conversations = settings.max_sessions_per_address or -(-settings.max_sessions // 2)
        self._conversations: dict[str, set[str]] = {}
        self._runs = runs

    @contextmanager
    def socket(self, client: str) -> Iterator[None]:
        """While a WebSocket is open. Raises RefusedError."""
        self._connect(client, 1.0)
        with self._held(self.sockets, client, "sockets"):
            yield

    def offer(self, client: str) -> None:
        """An offer of WebRTC has come. Raises RefusedError."""
        self._connect(client, OFFER_COST)

    @contextmanager
    def peer(self, client: str) -> Iterator[None]:
        """While a WebRTC peer is connected. Raises RefusedError."""
        with self._held(self.peers, client, "WebRTC peers"):
            yield

    def conversation(self, client: str, conversation: str) -> None:
        """The client is about to publish in it. It counts until it ends. Raises RefusedError."""
        running = {it: {name for name in names if self._runs(name)} for it, names in self._conversations.items()}
        self._conversations = {it: names for it, names in running.items() if names}
        held = self._conversations.setdefault(client, set())
        if conversation not in held and len(held) >= self._most_conversations:
            message = f"you publish in {len(held)} conversations, the most per address: see max_sessions_per_address"
            raise RefusedError("too_many", message, RETRY_AFTER_S)
        held.add(conversation)

    @contextmanager
    def _held(self, quota: Quota, client: str, what: str) -> Iterator[None]:
        if refusal := quota.refusal(client):
            raise RefusedError("too_many", f"no more {what}: {refusal}; try again later", RETRY_AFTER_S)
        quota.take(client)
        try:
            yield
        finally:
            quota.release(client)

    def _connect(self, client: str, cost: float) -> None:
        if wait_s := self._new.take(client, cost):
            raise RefusedError("too_many", f"you connect too often: try again in {wait_s:.0f} s", wait_s)


def client_address(connection: HTTPConnection) -> str:
    """The client of a request, as named by a trusted proxy where there is one."""
    return client_of(connection.client.host) if connection.client else "unknown"

"""What each client may take of this engine: connections, how often it may connect, media, and time of decoders."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from engine.access.tokens import EVERYTHING, Grant
from engine.config import Settings
from engine.errors import EngineError, RefusedError
from engine.runtime.limits import Client, Quota, RateLimit, client_of
from engine.server.listener import RESERVED_FILES, raise_open_files

FILES_PER_PEER = 4  # of WebRTC: one UDP socket per address of this machine, more with TURN
BURST_S = 5.0  # so many seconds' worth at once
MEDIA_BURST_S = 1.0  # the same of media, where a longer burst would keep the engine busy
OFFER_COST = 5.0  # an offer of WebRTC is as much work as this many WebSockets
MESSAGE_BYTES = 16 << 10  # a message is as much work as this many bytes, beside its own
PACKET_BYTES = 4 << 10  # and a packet of WebRTC
SLOWED_S = 0.5  # a client that waits for longer is logged
RETRY_AFTER_S = 5.0

log = logging.getLogger(__name__)


class ClientLimits:
    """What is beyond a limit is refused; media is slowed down, by reading the socket later, and nothing of it lost."""

    def __init__(self, settings: Settings) -> None:
        """Raises the limit of open files as far as possible; the rest follows from it. Raises EngineError."""
        files = raise_open_files() - RESERVED_FILES
        most, per_client = min(settings.max_connections, files // 2), settings.max_connections_per_client
        if most < 1:
            raise EngineError("the limit of open files is too low for a single connection: raise it with ulimit -n")
        if most < settings.max_connections:
            log.warning("the limit of open files allows %d connections, fewer than max_connections", most)
        self.connections = Quota(most, per_client)
        self.sockets = Quota(most, per_client)  # beside connections, because those of a proxy have its address
        self._token_sockets = Quota(most, per_client)
        self.peers = Quota(max(1, files // 2 // FILES_PER_PEER), per_client)
        self._new = _rate(settings.new_sockets_per_s)
        self._bytes = _rate(settings.max_sessions * settings.media_mb_per_s * 1e6, MEDIA_BURST_S)
        self._captions = _rate(settings.max_sessions * settings.captions_per_s, MEDIA_BURST_S)
        self._pictures = _rate(settings.max_sessions * settings.pictures_per_s, MEDIA_BURST_S)
        self._decoding = _rate(settings.video_cores or (os.cpu_count() or 1) / 8)

    @contextmanager
    def socket(self, address: str) -> Iterator[None]:
        """While a WebSocket is open. Raises RefusedError."""
        self._connect(address)
        with _held(self.sockets, "sockets", address):
            yield

    @contextmanager
    def token_socket(self, client: Client) -> Iterator[None]:
        """The same for its token, from when that is known."""
        token = client[1:]
        self._connect(*token)
        with _held(self._token_sockets, "sockets", *token):
            yield

    def offer(self, *client: str) -> None:
        """An offer of WebRTC has come. Raises RefusedError."""
        self._connect(*client, cost=OFFER_COST)

    @contextmanager
    def peer(self, client: Client) -> Iterator[None]:
        """While a WebRTC peer is connected. Raises RefusedError."""
        with _held(self.peers, "WebRTC peers", *client):
            yield

    def message(self, client: Client, message: str | bytes) -> float:
        """The client has sent a message. Returns for how many seconds its socket must not be read."""
        wait_s = self._bytes.charge(*client, cost=len(message) + MESSAGE_BYTES)
        if isinstance(message, str):
            wait_s = max(wait_s, self._captions.charge(*client, cost=1.0))
        if wait_s > SLOWED_S:
            log.warning(
                "%s sends too much and is read later: see media_mb_per_s, captions_per_s", " with ".join(client)
            )
        return wait_s

    def packet(self, client: Client, size: int) -> bool:
        """The client has sent a packet of WebRTC. Returns whether it is read: one that is not costs nothing more."""
        return not self._bytes.take(*client, cost=size + PACKET_BYTES)

    def picture(self, client: Client) -> float:
        """The same for a picture that is decoded next."""
        return max(self._pictures.charge(*client, cost=1.0), self.decoding(client, 0.0))

    def decoding(self, client: Client, took_s: float) -> float:
        """Pictures took so much time to decode. Returns for how many seconds no more may be decoded."""
        return self._decoding.charge(*client, cost=took_s)

    def _connect(self, *client: str, cost: float = 1.0) -> None:
        if wait_s := self._new.take(*client, cost=cost):
            raise RefusedError("too_many", f"you connect too often: try again in {wait_s:.0f} s", wait_s)


def client_address(connection: HTTPConnection) -> str:
    """The address of a request, as named by a trusted proxy where there is one; of IPv6 the /64 network."""
    return client_of(connection.client.host) if connection.client else "unknown"


def client_with(connection: HTTPConnection, grant: Grant) -> Client:
    """Whom to count for what a request takes: its address, and its token where there are tokens."""
    address = client_address(connection)
    return (address,) if grant is EVERYTHING else (address, f"token {grant.id}")


def _rate(per_s: float, burst_s: float = BURST_S) -> RateLimit:
    return RateLimit(per_s, per_s * burst_s)


@contextmanager
def _held(quota: Quota, what: str, *client: str) -> Iterator[None]:
    if refusal := quota.refusal(*client):
        raise RefusedError("too_many", f"no more {what}: {refusal}; try again later", RETRY_AFTER_S)
    quota.take(*client)
    try:
        yield
    finally:
        quota.release(*client)

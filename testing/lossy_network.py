"""A network that loses and delays packets, simulated inside the sender."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
from aiortc import RTCPeerConnection

FIRST_MEDIA_BYTE = range(128, 192)  # RTP and RTCP (RFC 7983); handshakes are not affected


class LossyNetwork:
    """Loses each media packet with probability `loss`, and delays the others by up to `jitter_s`. Deterministic.

    Delays are independent, so that packets are also reordered.
    """

    def __init__(self, loss: float, jitter_s: float, seed: int) -> None:
        self.sent = self.lost = 0
        self._loss = loss
        self._jitter_s = jitter_s
        self._rng = np.random.default_rng(seed)
        self._on_their_way: set[asyncio.Task[None]] = set()

    def carry(self, connection: RTCPeerConnection) -> None:
        """Apply to all further packets of this peer."""
        for transport in {sender.transport.transport for sender in connection.getSenders()}:
            transport._send = self._sending(transport._send)

    async def arrived(self) -> None:
        """Return when every packet sent so far has arrived or is lost."""
        if self._on_their_way:
            await asyncio.wait(set(self._on_their_way))

    def _sending(self, send: Callable[[bytes], Awaitable[None]]) -> Callable[[bytes], Awaitable[None]]:
        async def late(data: bytes, late_s: float) -> None:
            await asyncio.sleep(late_s)
            with suppress(ConnectionError):  # the sender was closed meanwhile
                await send(data)

        async def carried(data: bytes) -> None:
            if data[0] not in FIRST_MEDIA_BYTE:
                await send(data)
                return
            self.sent += 1
            lost, late_s = self._rng.random() < self._loss, self._rng.uniform(0, self._jitter_s)
            if lost:
                self.lost += 1
            elif late_s == 0:
                await send(data)
            else:
                task = asyncio.create_task(late(data, late_s))
                self._on_their_way.add(task)
                task.add_done_callback(self._on_their_way.discard)

        return carried

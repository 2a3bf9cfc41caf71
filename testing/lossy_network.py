"""A network that loses and holds up packets, inside the sender: what leaves a peer is dropped or sent late."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
from aiortc import RTCPeerConnection

FIRST_MEDIA_BYTE = range(128, 192)  # of RTP and RTCP (RFC 7983): handshakes are spared


class LossyNetwork:
    """Of each packet of media, the same for the same `seed`: lost with probability `loss`, else up to `jitter_s` late.

    Each packet's lateness is its own, so that they also overtake each other.
    """

    def __init__(self, loss: float, jitter_s: float, seed: int) -> None:
        self.sent = self.lost = 0
        self._loss = loss
        self._jitter_s = jitter_s
        self._rng = np.random.default_rng(seed)
        self._on_their_way: set[asyncio.Task[None]] = set()

    def carry(self, connection: RTCPeerConnection) -> None:
        """All that this peer sends from now on."""
        for transport in {sender.transport.transport for sender in connection.getSenders()}:
            transport._send = self._sending(transport._send)

    async def arrived(self) -> None:
        """All that was sent until now has arrived, or never will."""
        if self._on_their_way:
            await asyncio.wait(set(self._on_their_way))

    def _sending(self, send: Callable[[bytes], Awaitable[None]]) -> Callable[[bytes], Awaitable[None]]:
        async def late(data: bytes, late_s: float) -> None:
            await asyncio.sleep(late_s)
            with suppress(ConnectionError):  # its sender has gone meanwhile
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

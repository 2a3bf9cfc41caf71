"""Messages of a publisher that the engine has not confirmed, so that another connection can send them again."""

import asyncio
from collections import deque
from typing import Protocol

MOST_BYTES = 4 << 20  # two minutes of one track at 16 kHz
AHEAD_BYTES = 256 << 10  # sent and not confirmed: what a slow engine has to read before it sees a ping


class Socket(Protocol):
    """As of `websockets`."""

    async def send(self, message: str | bytes, /) -> None: ...


class SendBuffer:
    """Numbers messages from 1 on. Where it is full, `put` waits, so that nothing is lost.

    Until `keep` is called, a message is gone as soon as it was sent.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, ahead_bytes: int = AHEAD_BYTES) -> None:
        self._most_bytes = most_bytes
        self._ahead_bytes = ahead_bytes
        self._messages: deque[str | bytes] = deque()  # those after the confirmed ones
        self._bytes = 0  # of these
        self._ahead = 0  # bytes that are sent and not confirmed
        self._confirmed = self._sent = 0  # how many
        self._keep = self._closed = False
        self._changed = asyncio.Event()

    def keep(self) -> None:
        """From now on, messages are kept until they are confirmed."""
        self._keep = True

    async def put(self, message: str | bytes) -> None:
        """Waits for room."""
        while self._messages and self._bytes + len(message) > self._most_bytes:
            await self._change()
        self._messages.append(message)
        self._bytes += len(message)
        self._changed.set()

    def close(self) -> None:
        """No message follows."""
        self._closed = True
        self._changed.set()

    def confirm(self, messages: int) -> None:
        """The engine has received so many, of all that were put."""
        while self._messages and self._confirmed < messages:
            size = len(self._messages.popleft())
            self._confirmed += 1
            self._bytes -= size
            self._ahead -= size if self._confirmed <= self._sent else 0
        self._changed.set()

    async def send(self, socket: Socket, received: int) -> None:
        """Send what follows the first `received` messages, until all is sent, also what is put meanwhile."""
        self._sent, self._ahead = self._confirmed, 0
        self.confirm(received)
        self._sent = self._confirmed
        while not (self._closed and self._sent == self._confirmed + len(self._messages)):
            waiting = self._sent < self._confirmed + len(self._messages)
            if not waiting or self._ahead >= self._ahead_bytes:
                await self._change()
                continue
            message = self._messages[self._sent - self._confirmed]
            self._sent += 1
            self._ahead += len(message)
            await socket.send(message)
            if not self._keep:
                self.confirm(self._sent)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

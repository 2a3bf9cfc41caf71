"""Connections that send a byte at a time, and connect again when they are cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

HOSTS = [f"127.0.0.{n}" for n in range(2, 12)]  # of attackers: all of 127.0.0.0/8 is this machine
OPENINGS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    b"POST /whip/a?speaker=b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
    b"Content-Length: 60000\r\n\r\nv",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n",
)


@asynccontextmanager
async def slow_connections(port: int, number: int) -> AsyncIterator[asyncio.Event]:
    """So many during the block, from ten addresses. Yields an event that is set when the first is cut off."""
    cut_off = asyncio.Event()
    openings = [opening for opening in OPENINGS for _ in range(number // len(OPENINGS))]
    async with asyncio.TaskGroup() as tasks:
        attack = [
            tasks.create_task(_trickle(port, host, opening, cut_off))
            for host, opening in zip(cycle(HOSTS), openings, strict=False)
        ]
        yield cut_off
        for one in attack:
            one.cancel()


async def _trickle(port: int, host: str, opening: bytes, cut_off: asyncio.Event) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
            writer.write(opening)
            dripping = asyncio.create_task(_drip(writer) if opening else asyncio.sleep(0))
            try:
                await reader.read()  # to the end
            finally:
                dripping.cancel()
                writer.transport.abort()
            cut_off.set()
        except OSError:
            await asyncio.sleep(0.2)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.3)

"""A TCP proxy that cuts: what a bad network does to a connection."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Scissors:
    """Each connection is cut when so many bytes of answer have passed as `lengths` says next; then no more."""

    def __init__(self, engine_url, lengths):
        self.cuts = 0
        self._engine = urlsplit(engine_url)
        self._lengths = iter(lengths)

    def lead_to(self, engine_url):
        """From the next connection on."""
        self._engine = urlsplit(engine_url)

    @asynccontextmanager
    async def open(self):
        """Yields the URL to use instead of the engine's."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _carry(self, reader, writer):
        length = next(self._lengths, None)
        there, back = await asyncio.open_connection(self._engine.hostname, self._engine.port)
        asking = asyncio.create_task(self._ask(reader, back))
        try:
            while (block := await there.read(4096 if length is None else min(4096, length))) != b"":
                writer.write(block)
                await writer.drain()
                if length is not None and (length := length - len(block)) == 0:
                    self.cuts += 1
                    return
        except ConnectionError:
            pass  # either side has gone: so does the other
        finally:
            asking.cancel()
            writer.transport.abort()
            back.transport.abort()

    async def _ask(self, reader, back):
        while (block := await reader.read(4096)) != b"":
            back.write(block)
        back.close()

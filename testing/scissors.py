"""A TCP proxy that cuts connections."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Scissors:
    """Cuts each connection after as many response bytes as the next of `lengths` says, and none after the last."""

    def __init__(self, engine_url, lengths):
        self.cuts = 0
        self._engine = urlsplit(engine_url)
        self._lengths = iter(lengths)

    def lead_to(self, engine_url):
        """Connect to another engine, from the next connection on."""
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
            pass  # one side has closed: close the other too
        finally:
            asking.cancel()
            writer.transport.abort()
            back.transport.abort()

    async def _ask(self, reader, back):
        while (block := await reader.read(4096)) != b"":
            back.write(block)
        back.close()

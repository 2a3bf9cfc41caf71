"""A receiver of webhooks: a real HTTP server, which answers as a test asks."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Post:
    """One request."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` decides what each request is answered with. `posts` are all requests, `received` those answered 200."""

    answer: Callable[[Post], Response | int] = lambda post: 200
    posts: list[Post] = field(default_factory=list)
    received: list[Post] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[["Receiver"], bool]) -> None:
        while not condition(self):
            self.changed.clear()
            await self.changed.wait()

    async def _receive(self, request: Request) -> Response:
        post = Post(dict(request.headers), await request.body())
        self.posts.append(post)
        answer = self.answer(post)
        response = Response(status_code=answer) if isinstance(answer, int) else answer
        if response.status_code == 200:
            self.received.append(post)
        self.changed.set()
        return response

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[int]:
        """Yields its port."""
        app = Starlette(routes=[Route("/hook", self._receive, methods=["POST"])])
        with socket.create_server(("127.0.0.1", port)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            await server.startup(sockets=[listening])
            serving = asyncio.create_task(server.main_loop())
            try:
                yield listening.getsockname()[1]
            finally:
                server.should_exit = True
                await serving
                await server.shutdown(sockets=[listening])

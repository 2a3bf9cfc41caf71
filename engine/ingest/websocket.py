"""A WebSocket of `/ingest`: reads its messages for a publisher, at the rate and within the time that it has."""

import asyncio
from collections.abc import Callable

from starlette.websockets import WebSocket

from engine.events import Error
from engine.ingest.publisher_session import Outbox, PublisherSession, SocketEnd

ON_PURPOSE = (1000, 1001)  # close codes of a client that leaves; uvicorn says 1005 where a connection was cut
CHECK_S = 0.1  # between checks while no media is awaited, or a message is handled for longer than it may be late

MessageRate = Callable[[str | bytes], float]  # called for each message: for how many seconds to read no other
FindSession = Callable[[str], PublisherSession | None]  # whose session has this key, and may be resumed here


class IngestSocket:
    """One accepted socket. A publisher that sends more than its rate is read later."""

    def __init__(
        self, websocket: WebSocket, outbox: Outbox, publisher: PublisherSession, find: FindSession, rate: MessageRate
    ) -> None:
        """`publisher` is a new one, which another one replaces where this socket resumes a session."""
        self._websocket = websocket
        self._outbox = outbox
        self._publisher = publisher
        self._find = find
        self._rate = rate
        self._waiting = True  # for a message
        self._check: asyncio.TimerHandle | None = None

    async def read(self) -> SocketEnd:
        """Until the socket is closed, or no media comes in time. Cancelled when the session has moved on."""
        try:
            async with asyncio.timeout(None) as media:
                self._check_later(media)
                return await self._messages()
        except TimeoutError:
            if not media.expired():
                raise
            self._outbox.notify(Error("no_media", "No media has come for too long: connect again.", fatal=True))
            self._outbox.end("no_media")
            return "no_media"
        finally:
            if self._check:
                self._check.cancel()

    def _check_later(self, media: asyncio.Timeout) -> None:
        """One timer checks whether media is late: to set one for each message is expensive."""
        loop, due_at = asyncio.get_running_loop(), self._publisher.due_at
        late = due_at is not None and due_at <= loop.time()
        if late and self._waiting:
            media.reschedule(loop.time())
        else:
            when = loop.time() + CHECK_S if late or due_at is None else due_at
            self._check = loop.call_at(when, self._check_later, media)

    async def _messages(self) -> SocketEnd:
        while True:
            self._waiting = True
            message = await self._websocket.receive()
            self._waiting = False
            if message["type"] == "websocket.disconnect":
                self._outbox.end("closed")
                return "closed" if message.get("code") in ON_PURPOSE else "lost"
            received = message["bytes"] if message.get("text") is None else message["text"]
            if resume := await self._publisher.receive(received):
                await self._resume(resume.key)
            if (wait_s := self._rate(received)) > 0:
                await asyncio.sleep(wait_s)
                self._publisher.made_to_wait()

    async def _resume(self, key: str) -> None:
        found = self._find(key)
        if found is None:
            text = "No session has this key: it has ended, or was given up. Start another one with session.start."
            self._outbox.notify(Error("unknown_session", text))
            return
        reading = asyncio.current_task()
        assert reading is not None
        self._publisher = found
        await found.continue_on(reading, self._outbox)

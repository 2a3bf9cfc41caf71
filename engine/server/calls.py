"""Who is in which video call, and the messages by which their browsers connect to each other. No media passes here."""

import asyncio
import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.websockets import WebSocket

from engine.delivery.events_socket import CLOSE, GONE
from engine.delivery.subscription import EndReason
from engine.delivery.wire import encode
from engine.errors import RefusedError
from engine.events import Error

MAX_PEOPLE = 4  # each sends to each: more would not fit most uplinks
MAX_MESSAGE_BYTES = 64 << 10  # as any text message; an offer of SDP has a few KB
MAX_QUEUED = 256
CALLER_KEY = re.compile(r"[0-9a-f]{32}")  # random, made by the page, which alone can come again as the same caller


class Signal(BaseModel):
    """From one person's browser to another's. `data` means something to these two alone."""

    type: Literal["call.signal"]
    to: str
    data: dict[str, Any]


def caller_id(key: str) -> str:
    """By which the others know a caller, who alone knows the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class Caller:
    """One person in a call. `outbox` has the messages to be sent to them."""

    def __init__(self, conversation: str, name: str, id_: str) -> None:
        self.conversation = conversation
        self.name = name
        self.id = id_
        self.outbox: asyncio.Queue[str] = asyncio.Queue()
        self.reason: EndReason | None = None

    def send(self, message: str) -> None:
        if self.outbox.qsize() >= MAX_QUEUED:
            self.end("slow")
        elif self.reason is None:
            self.outbox.put_nowait(message)

    def end(self, reason: EndReason) -> None:
        """After what is queued, unless that is not read."""
        self.reason = self.reason or reason
        if reason == "slow":
            self.outbox = asyncio.Queue()
        self.outbox.put_nowait("")


class Calls:
    """All calls of this process. Belongs to one event loop; nothing waits."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, Caller]] = {}  # by conversation and id

    def join(self, conversation: str, name: str, key: str) -> Caller:
        """A caller who comes again with the same key replaces their lost connection. Raises RefusedError."""
        room, id_ = self._rooms.get(conversation, {}), caller_id(key)
        others = [it for it in room.values() if it.id != id_]
        if any(it.name == name for it in others):
            raise RefusedError("speaker_taken", f"somebody called {name} is in this call already")
        if len(others) >= MAX_PEOPLE:
            raise RefusedError("full", f"this call has {MAX_PEOPLE} people, and no room for more")
        if before := room.get(id_):
            before.end("done")
        caller = self._rooms.setdefault(conversation, room)[id_] = Caller(conversation, name, id_)
        self._announce(conversation)
        return caller

    def leave(self, caller: Caller) -> None:
        room = self._rooms.get(caller.conversation, {})
        if room.get(caller.id) is not caller:
            return
        del room[caller.id]
        if room:
            self._announce(caller.conversation)
        else:
            del self._rooms[caller.conversation]

    def pass_on(self, caller: Caller, text: str) -> Error | None:
        """To whom the message names, if they are still there. Returns what is wrong with it, or None."""
        if len(text) > MAX_MESSAGE_BYTES:
            return Error("too_large", f"A message of a call has at most {MAX_MESSAGE_BYTES} bytes.")
        try:
            signal = Signal.model_validate(from_json(text, allow_inf_nan=False))
        except ValueError:  # and pydantic's ValidationError, which is one
            return Error("bad_request", 'A message of a call is {"type": "call.signal", "to": ID, "data": {…}}.')
        if receiver := self._rooms.get(caller.conversation, {}).get(signal.to):
            receiver.send(_json({"type": "call.signal", "from": caller.id, "data": signal.data}))
        return None

    def end(self) -> None:
        """For shutdown: everybody is disconnected, and may come again."""
        for room in self._rooms.values():
            for caller in room.values():
                caller.end("restart")

    def _announce(self, conversation: str) -> None:
        room = self._rooms[conversation]
        people = [{"id": it.id, "name": it.name} for it in room.values()]
        for caller in room.values():
            message = {"type": "call.people", "conversation": conversation, "people": people, "you": caller.id}
            caller.send(_json(message))


async def call_socket(
    websocket: WebSocket, calls: Calls, caller: Caller, slow_down: Callable[[str | bytes], float]
) -> None:
    """Until either side ends. `slow_down` returns for how many seconds no message is read after each."""
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(_write(websocket, caller), name="call writer")
        try:
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                text = message.get("text") or ""
                if wait_s := slow_down(text):
                    await asyncio.sleep(wait_s)
                if problem := calls.pass_on(caller, text):
                    caller.send(encode(problem))
        finally:
            calls.leave(caller)
            writer.cancel()


async def _write(websocket: WebSocket, caller: Caller) -> None:
    with suppress(*GONE):
        while text := await caller.outbox.get():
            await websocket.send_text(text)
        assert caller.reason is not None
        await websocket.close(*CLOSE[caller.reason])


def _json(body: dict[str, Any]) -> str:
    return to_json(body, inf_nan_mode="null").decode()  # JSON has no number for 1e999

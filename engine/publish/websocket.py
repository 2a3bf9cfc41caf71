"""`/events`: one conversation's events, or all conversations', on a WebSocket."""

import asyncio
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.messages import ALL
from engine.publish.earlier import earlier
from engine.publish.outlets import Outlets
from engine.publish.subscription import EndReason, Subscription
from engine.publish.wire import encode

# The client: RuntimeError where the server closed the socket itself (message too large, no pong, shutdown).
GONE = (WebSocketDisconnect, RuntimeError)

# RFC 6455 and the IANA registry: 1008 policy violation, 1011 internal error, 1013 try again later.
CLOSE: dict[EndReason, tuple[int, str]] = {
    "done": (1000, ""),
    "refused": (1008, "refused"),
    "failed": (1011, "internal error"),
    "full": (1013, "full"),
    "slow": (1013, "too slow: resume from the last seq you have"),
}


async def events_socket(websocket: WebSocket, outlets: Outlets, conversation: str, resume_from_seq: int | None) -> None:
    """Send an accepted socket what it asked for, until either ends. What it says is passed over."""
    async with asyncio.TaskGroup() as group:
        sending = _send_events(websocket, outlets, conversation, resume_from_seq)
        writer = group.create_task(sending, name="events writer")
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        writer.cancel()  # it may wait for room in a buffer that nobody empties any more


async def _send_events(websocket: WebSocket, outlets: Outlets, conversation: str, after: int | None) -> None:
    """Here at most one page of the log waits for a slow reader: the next is read when it has taken that."""
    hub = outlets.hub
    if conversation == ALL:
        await send_all(websocket, hub.subscribe_all())
        return
    caught_up = False
    if after is not None:
        with suppress(*GONE):
            snapshot = encode(hub.snapshot(conversation))
            async for up_to, texts in earlier(hub, outlets.journal, conversation, after):
                for text in texts if caught_up else [snapshot, *texts]:
                    await websocket.send_text(text)
                caught_up, after = True, up_to
    await send_all(websocket, hub.subscribe(conversation, after, with_snapshot=not caught_up))


async def send_all(websocket: WebSocket, subscription: Subscription) -> None:
    """The only writer of its socket, which it closes with a code that says why the subscription ended.

    A client that reads nothing holds up this task alone; the hub ends its subscription and frees its queue.
    """
    try:
        async for _, text in subscription:
            await websocket.send_text(text)
        if subscription.reason in CLOSE:
            await websocket.close(*CLOSE[subscription.reason])
    except GONE:
        pass
    finally:
        subscription.end("closed")

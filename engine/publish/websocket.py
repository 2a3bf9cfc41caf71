"""`/events`: one conversation's events on a WebSocket."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.publish.subscription import EndReason, Subscription

# RFC 6455 and the IANA registry: 1008 policy violation, 1011 internal error, 1013 try again later.
CLOSE: dict[EndReason, tuple[int, str]] = {
    "done": (1000, ""),
    "refused": (1008, "refused"),
    "failed": (1011, "internal error"),
    "full": (1013, "full"),
    "slow": (1013, "too slow: resume from the last seq you have"),
}


async def events_socket(websocket: WebSocket, subscription: Subscription) -> None:
    """Send an accepted socket all of its subscription, until either ends. What it says is passed over."""
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(send_all(websocket, subscription), name="events writer")
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        writer.cancel()  # it may wait for room in a buffer that nobody empties any more


async def send_all(websocket: WebSocket, subscription: Subscription) -> None:
    """The only writer of its socket, which it closes with a code that says why the subscription ended.

    A client that reads nothing holds up this task alone; the hub ends its subscription and frees its queue.
    """
    try:
        async for _, text in subscription:
            await websocket.send_text(text)
        if subscription.reason in CLOSE:
            await websocket.close(*CLOSE[subscription.reason])
    except (WebSocketDisconnect, RuntimeError):
        # Gone: RuntimeError where the server closed the socket itself (message too large, no pong, shutdown).
        pass
    finally:
        subscription.end("closed")

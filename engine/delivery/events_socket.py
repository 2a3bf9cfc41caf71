"""`/events`: one conversation's events, or all conversations', on a WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.delivery.direct_send import send_now_of
from engine.delivery.hub import Hub
from engine.delivery.subscription import EndReason, Subscription
from engine.delivery.wire import encode
from engine.events import Error
from engine.names import ALL_CONVERSATIONS

# RuntimeError: the server itself closed the socket (message too large, no pong, shutdown).
GONE = (WebSocketDisconnect, RuntimeError)

# RFC 6455 and the IANA registry: 1008 policy violation, 1011 internal error, 1012 restart, 1013 try again later.
CLOSE: dict[EndReason, tuple[int, str]] = {
    "done": (1000, ""),
    "resumed": (1000, "resumed on another connection"),
    "refused": (1008, "refused"),
    "failed": (1011, "internal error"),
    "full": (1013, "full"),
    "too_many": (1013, "too many"),
    "no_media": (1008, "no media"),
    "restart": (1012, "restart"),
    "slow": (1013, "too slow: resume from the last seq you have"),
}


# Older events of a conversation after a sequence number, page by page: (last sequence number, events as JSON).
Replay = Callable[[str, int], AsyncIterator[tuple[int, list[str]]]]


async def events_socket(
    websocket: WebSocket,
    hub: Hub,
    replay: Replay,
    conversation: str,
    resume_from_seq: int | None,
    slow_down: Callable[[str | bytes], float],
) -> None:
    """Send the requested events to an accepted socket until either side ends.

    Incoming messages are ignored. `slow_down` returns for how many seconds none is read after each.
    """
    async with asyncio.TaskGroup() as group:
        sending = _send_events(websocket, hub, replay, conversation, resume_from_seq)
        writer = group.create_task(sending, name="events writer")
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            if wait_s := slow_down(message.get("text") or message.get("bytes") or b""):
                await asyncio.sleep(wait_s)
        writer.cancel()  # it may wait for a send buffer that is no longer read


async def _send_events(websocket: WebSocket, hub: Hub, replay: Replay, conversation: str, after: int | None) -> None:
    """Replay from the log is page by page: the next is read when this one is sent, so a slow reader holds only one."""
    if conversation == ALL_CONVERSATIONS:
        await send_all(websocket, hub.subscribe_all())
        return
    caught_up = False
    if after is not None:
        with suppress(*GONE):
            snapshot = encode(hub.snapshot(conversation))
            async for up_to, texts in replay(conversation, after):
                for text in texts if caught_up else [snapshot, *texts]:
                    await websocket.send_text(text)
                caught_up, after = True, up_to
    await send_all(websocket, hub.subscribe(conversation, after, with_snapshot=not caught_up))


async def send_all(websocket: WebSocket, subscription: Subscription) -> None:
    """The only task that writes to this socket. Closes it with the code for the reason that the subscription ended.

    A client that does not read blocks this task alone: the hub ends its subscription and frees its queue.
    An event that finds this task idle and the socket writable is written at once, without waking it.
    """
    subscription.send_directly(send_now_of(websocket))
    try:
        async for _, text in subscription:
            await websocket.send_text(text)
        if subscription.reason in CLOSE:
            await websocket.close(*CLOSE[subscription.reason])
    except GONE:
        pass
    finally:
        subscription.end("closed")


async def refuse(websocket: WebSocket, error: Error, code: int = 1008) -> None:
    """Sends the error on the socket, because a browser does not show its page the HTTP response to a WebSocket."""
    with suppress(*GONE):
        await websocket.send_text(encode(error))
        await websocket.close(code)

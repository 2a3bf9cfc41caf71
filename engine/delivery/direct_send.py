"""An ASGI extension by which a short message reaches a WebSocket's transport at once, without waking a task.

The server puts a `SendNow` into the connection's scope (see `engine/server/listener.py`). A message that a thousand
subscribers receive then costs one frame, and one write for each of them.
"""

from collections.abc import Callable
from functools import lru_cache

from starlette.websockets import WebSocket
from websockets.frames import Frame, Opcode

EXTENSION = "cberl.send_now"

# Writes a text and returns True, or returns False and has written nothing: the socket closes, or its client reads too
# slowly.
SendNow = Callable[[str], bool]


def send_now_of(websocket: WebSocket) -> SendNow | None:
    """None where the server has no such extension."""
    found: SendNow | None = websocket.scope.get("extensions", {}).get(EXTENSION, {}).get("send_text")
    return found


@lru_cache(maxsize=1)  # a message goes to its subscribers in turn
def text_frame(text: str) -> bytes:
    """The frame of RFC 6455, section 5.2, as a server sends it without compression."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)

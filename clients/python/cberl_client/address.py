"""Addresses of an engine's WebSockets, and how to connect to them."""

import os
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from cberl_client.errors import ClientError

LARGEST_BYTES = 16 << 20
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def socket_url(engine: str, path: str, **query: str | int | None) -> str:
    """The WebSocket address of `path` at the engine `http://host:8765` or `wss://host/prefix`. Raises ClientError."""
    url = urlsplit(engine)
    if url.scheme not in _SCHEMES or not url.netloc:
        raise ClientError(f"An engine's address is like http://127.0.0.1:8765, not {engine!r}.")
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return urlunsplit((_SCHEMES[url.scheme], url.netloc, url.path.rstrip("/") + path, given, ""))


def connect_options(token: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Options of `websockets.connect` with the token in a header. Without one, that of CBERL_TOKEN."""
    token = token or os.environ.get("CBERL_TOKEN")
    given = {"max_size": LARGEST_BYTES} | options
    if token:
        others = given.get("additional_headers") or {}
        given["additional_headers"] = {"Authorization": f"Bearer {token}", **dict(others)}
    return given

"""Addresses of an engine's WebSockets."""

from urllib.parse import urlencode, urlsplit, urlunsplit

from cberl_client.errors import ClientError

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def socket_url(engine: str, path: str, **query: str | int | None) -> str:
    """The WebSocket address of `path` at the engine `http://host:8765` or `wss://host/prefix`. Raises ClientError."""
    url = urlsplit(engine)
    if url.scheme not in _SCHEMES or not url.netloc:
        raise ClientError(f"An engine's address is like http://127.0.0.1:8765, not {engine!r}.")
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return urlunsplit((_SCHEMES[url.scheme], url.netloc, url.path.rstrip("/") + path, given, ""))

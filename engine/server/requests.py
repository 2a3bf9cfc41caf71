"""Which requests are answered at all: those to a known host, and from a known web origin.

A page of any site may send requests to any host. Its browser adds the page's `Origin`, except where the page seems to
be the engine's own: so it is where the name of a foreign site leads to this machine (DNS rebinding). Hence hosts are on
a list, too.
"""

import ipaddress
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from engine.config import Settings
from engine.delivery.events_socket import refuse
from engine.delivery.wire import encode
from engine.errors import EngineError
from engine.events import Error

# Pages load their own scripts and styles alone, talk to this engine alone, and are in no frame.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    ("Content-Security-Policy", CSP),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(self), microphone=(self)"),
)
HSTS = ("Strict-Transport-Security", "max-age=31536000")
STATUS = {"forbidden_host": 421, "forbidden_origin": 403}


def comma_separated(setting: str) -> list[str]:
    return [part.strip() for part in setting.split(",") if part.strip()]


def trusted_proxies(setting: str) -> Callable[[str], bool]:
    """Whether an address is that of a proxy in the setting. Raises EngineError where the setting is wrong."""
    try:
        networks = [ipaddress.ip_network(part) for part in comma_separated(setting)]
    except ValueError as error:
        raise EngineError(f"trusted_proxy takes addresses and networks such as 10.0.0.0/8: {error}") from error

    def trusted(host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in networks)

    return trusted


class RequestPolicy:
    """Pure. `refusal` is called for each request, WebSockets included."""

    def __init__(self, host: str, allow_hosts: str, allow_origin: str) -> None:
        bound = _address(host)
        self._hosts = {"localhost", host.lower(), *(name.lower() for name in comma_separated(allow_hosts))}
        # A browser cannot be made to call another machine by an address in place of its name.
        self._any_address = bound is not None and bound.is_unspecified
        self._origins = [allow_origin] if allow_origin else []

    def refusal(self, host: str, origin: str | None) -> Error | None:
        """`host` and `origin` are the request's headers. Returns an error for its sender, or None."""
        if not self._is_own(_without_port(host)):
            message = f"This engine is not called {host[:100]!r}: see the setting allow_hosts."
            return Error("forbidden_host", message, fatal=True)
        own = (f"http://{host}", f"https://{host}")
        if origin is not None and origin not in (*own, *self._origins) and "*" not in self._origins:
            message = f"Pages of {origin[:100]} may not connect: see the setting allow_origin."
            return Error("forbidden_origin", message, fatal=True)
        return None

    def _is_own(self, name: str) -> bool:
        address = _address(name)
        return name in self._hosts or (address is not None and (address.is_loopback or self._any_address))


class RequestGuard:
    """ASGI middleware: refuses what the policy refuses, on every route."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._policy = RequestPolicy(settings.host, settings.allow_hosts, settings.allow_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = HTTPConnection(scope).headers
        if problem := self._policy.refusal(headers.get("host", ""), headers.get("origin")):
            await _refuse(problem, scope, receive, send)
            return
        with suppress(ClientDisconnect):  # before it had sent its body: there is nobody to answer
            await self._app(scope, receive, _with_headers(scope, send))


def _with_headers(scope: Scope, send: Send) -> Send:
    """Adds to each response what browsers must know to confine its page."""
    name = _without_port(HTTPConnection(scope).headers.get("host", ""))
    secure = scope.get("scheme") == "https" and name != "localhost"  # which other servers share, without TLS

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in (*SECURITY_HEADERS, *([HSTS] if secure else [])):
                headers.setdefault(name, value)
        await send(message)

    return sending


async def _refuse(problem: Error, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await refuse(websocket, problem)
        return
    await Response(encode(problem), STATUS[problem.code], media_type="application/json")(scope, receive, send)


def _without_port(host: str) -> str:
    """The name or address in a Host header, in lower case."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.rstrip(".").lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

"""Bytes of clients of HTTP: whole requests to the application, WebSockets' first bytes, tokens, cookies."""

import asyncio
import json
import time
from collections.abc import Iterator, MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import h11
from starlette.requests import HTTPConnection

from engine.access.guard import Access, token_of
from engine.access.keys import Key, KeyFileError, Keys, read_keys
from engine.access.tokens import AccessError, Grant, Verifier, issue
from engine.config import Settings
from engine.mqtt.broker import BrokerError, parse_brokers
from engine.server.app import create_app
from engine.server.calls import Calls
from engine.server.requests import RequestPolicy
from engine.server.sinks import open_event_sinks
from engine.server.sockets import token_in
from testing.counting import Counter
from testing.fuzz.runner import Inputs, target

KEYS = Keys((Key("k1", "s" * 64), Key("k2", "t" * 64)), {"withdrawn": 1e12})
GRANT = Grant("a1", frozenset(("publish", "listen", "history")), "demo-*", "alice", 4e9)
OTHER = Grant("b2", frozenset(("all",)), expires_s=4e9)


@target(60)
def tokens(folder: Path) -> Iterator[Inputs]:
    verify = Verifier(lambda: KEYS)
    seeds = [
        issue(KEYS, GRANT),
        issue(Keys(KEYS.signing[1:]), OTHER),
    ]

    def parse(data: bytes) -> None:
        grant = verify(data.decode(errors="replace"))
        assert grant in (GRANT, OTHER), grant  # nothing but what was signed

    other = [b".", b"eyJhbGciOiJub25lIn0", b"eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0", b"eyJraWQiOltdfQ", b"=", b"-", b"_"]
    yield Inputs([seed.encode() for seed in seeds], parse, (AccessError,), other)


@target(60)
def call_signals(folder: Path) -> Iterator[Inputs]:
    """What one person's browser sends to another's. It arrives as JSON, or not at all."""
    calls = Calls()
    maya, tom = calls.join("talk", "maya", "1" * 32), calls.join("talk", "tom", "2" * 32)
    seeds = [
        {
            "type": "call.signal",
            "to": tom.id,
            "data": {"candidate": {"candidate": "candidate:1 1 udp 1", "sdpMLineIndex": 0}},
        },
        {
            "type": "call.signal",
            "to": tom.id,
            "data": {"description": {"type": "offer", "sdp": "v=0\r\n"}, "n": [1.5, None]},
        },
    ]

    def parse(data: bytes) -> None:
        problem = calls.pass_on(maya, data.decode(errors="replace"))
        while not tom.outbox.empty():
            json.loads(tom.outbox.get_nowait(), parse_constant=_not_json)
        if problem:
            raise ValueError(problem.message)

    yield Inputs(
        [json.dumps(seed).encode() for seed in seeds], parse, (ValueError,), [b"NaN", b"Infinity", b"\\ud800", b"1e999"]
    )


@target(50)
def token_claims(folder: Path) -> Iterator[Inputs]:
    """Signed with the right key, with any claims: as from an older engine, or another program with the key."""
    import jwt

    verify = Verifier(lambda: KEYS)

    def parse(data: bytes) -> None:
        try:
            claims = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(claims, dict):
            try:
                token = jwt.encode(claims, KEYS.signing[0].secret, "HS256", headers={"kid": "k1"})
            except (TypeError, ValueError):  # cannot be signed
                return
            grant = verify(token)
            assert grant.speaker is None or isinstance(grant.speaker, str)
            assert grant.expires_s is not None
            assert grant.expires_s > time.time()

    claims = {"iss": "cberl", "jti": "a", "exp": 4_000_000_000, "scope": "publish listen", "conversation": "a-*"}
    seeds = [json.dumps(claims).encode(), json.dumps(claims | {"speaker": "alice", "nbf": 1, "iat": 1}).encode()]
    yield Inputs(seeds, parse, (AccessError,))


@target(80)
def first_messages(folder: Path) -> Iterator[Inputs]:
    def parse(data: bytes) -> None:
        found = token_in({"type": "websocket.receive", "text": data.decode(errors="replace")})
        assert found is None or isinstance(found, str)

    yield Inputs([b'{"type": "authenticate", "token": "abc"}'], parse)


@target(80)
def headers(folder: Path) -> Iterator[Inputs]:
    """`Authorization`, `Cookie`, `Host` and `Origin`, one in each line."""
    policy = RequestPolicy("127.0.0.1", "voice.example", "https://other.example")

    def parse(data: bytes) -> None:
        values = [*data.split(b"\n"), b"", b"", b""][:4]
        names = (b"authorization", b"cookie", b"host", b"origin")
        scope = {"type": "http", "headers": list(zip(names, values, strict=True)), "server": ("127.0.0.1", 80)}
        connection = HTTPConnection(scope)
        token_of(connection)
        policy.refusal(connection.headers["host"], connection.headers["origin"])

    seeds = [
        b"Bearer abc.def.ghi\ncberl_token_80=abc; other=1\nlocalhost:8765\nhttp://localhost:8765",
        b'Basic x\ncberl_token_80="a\\012b"; $Path=/\n[::1]:8765\nnull',
    ]
    yield Inputs(seeds, parse, tokens=[b"cberl_token_80=", b"; ", b"Bearer ", b"[", b"]", b"]:", b"http://", b"@"])


@target(80)
def mqtt_addresses(folder: Path) -> Iterator[Inputs]:
    seeds = [b"mqtt://user:p%40ss@host:1883,mqtts://[::1]", b"mqtt://broker"]
    yield Inputs(
        seeds, lambda data: parse_brokers(data.decode(errors="replace")), (BrokerError,), [b"mqtt://", b"@", b":", b"["]
    )


@target(20)
def key_files(folder: Path) -> Iterator[Inputs]:
    path = folder / "keys.json"
    path.touch(0o600)

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        keys = read_keys(path)
        for until_s in keys.denied.values():
            assert until_s < float("inf")
        keys.denying("x", time.time() + 1).rotated()

    body = {"signing": [{"id": "a", "secret": "b"}], "denied": {"x": 1.5}}
    yield Inputs([json.dumps(body).encode()], parse, (KeyFileError,))


REQUESTS = (
    b"GET /conversations/demo/events?after_seq=0&limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /conversations HTTP/1.1\r\nHost: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\n\r\n",
    b"DELETE /conversations/d%C3%A9mo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /session HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a.b.c\r\nCookie: cberl_token_1=x\r\n"
    b"Content-Length: 0\r\n\r\n",
    b"POST /whip/demo?speaker=alice&analyse=text&consent=true&resume=abc HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    b'PATCH /whip/demo/abc HTTP/1.1\r\nHost: localhost\r\nIf-Match: "x"\r\n'
    b"Content-Type: application/trickle-ice-sdpfrag\r\nContent-Length: 12\r\n\r\na=candidate:",
    b"OPTIONS /whip/demo HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\nOrigin: http://a\r\n\r\n",
    b"GET /events?conversation=demo&resume_from_seq=3 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /events?conversation=* HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /ingest?conversation=d%20%C3%A9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b'GET /static/app.js HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nIf-None-Match: "a"\r\n\r\n',
    b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
)


@target(25)
def requests(folder: Path) -> Iterator[Inputs]:
    """Bytes of a connection, read by h11 as uvicorn does, then the whole application. No answer is 5xx.

    `/events` and `/ingest` are asked as WebSockets that close at once.
    """
    settings = Settings(port=0, event_log=str(folder / "events.db"), new_sockets_per_s=10_000)
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    sinks = loop.run_until_complete(stack.enter_async_context(open_event_sinks(settings)))
    app: Any = create_app(Counter(settings, sinks.hub), settings, sinks, access=Access(None))
    guarded = create_app(Counter(settings, sinks.hub), settings, sinks, access=Access(Verifier(lambda: KEYS)))

    def parse(data: bytes) -> None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        request, body = connection.next_event(), b""
        if not isinstance(request, h11.Request):
            return
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
        for one in (app, guarded):
            status = loop.run_until_complete(_answer(one, request, body))
            assert status < 500 or status == 503, status

    started = loop.run_until_complete
    running = AsyncExitStack()
    for one in (app, guarded):
        started(running.enter_async_context(one.router.lifespan_context(one)))
    parts = [b"%00", b"%2F", b"%ed%a0%80", b"&", b"?", b"=", b"\r\n", b"limit=", b"after_seq=", b"speaker=", b"*"]
    try:
        yield Inputs(REQUESTS, parse, (h11.RemoteProtocolError,), parts)
    finally:
        loop.run_until_complete(running.aclose())
        loop.run_until_complete(stack.aclose())
        loop.close()


async def _answer(app: Any, request: h11.Request, body: bytes) -> int:
    """The status of the response; 0 where a WebSocket is closed."""
    path, _, query = request.target.partition(b"?")
    socket = path.startswith((b"/events", b"/ingest"))
    statuses: list[int] = []
    incoming: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    if socket:
        incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": body.decode(errors="replace")}]
    gone = {"type": "websocket.disconnect" if socket else "http.disconnect", "code": 1000}

    async def receive() -> MutableMapping[str, Any]:
        return incoming.pop(0) if incoming else gone

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "websocket" if socket else "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
        "scheme": "ws" if socket else "http",
        "method": request.method.decode("ascii"),
        "root_path": "",
        "path": _unquoted(path),
        "raw_path": path,
        "query_string": query,
        "headers": list(request.headers),
        "subprotocols": [],
        "state": {},
    }
    await app(scope, receive, send)
    return statuses[0] if statuses else 0


def _unquoted(path: bytes) -> str:
    """As uvicorn does."""
    from urllib.parse import unquote

    return unquote(path.decode("ascii", errors="replace"))


def _not_json(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")

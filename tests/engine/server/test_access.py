"""Tokens on every route, over real sockets, with the counting engine."""

import asyncio
import json
import re
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from cberl_client import RefusedError, Snapshot, publish_audio, subscribe

from engine.access.guard import Access
from engine.access.keys import KeyWatcher, load_keys, save_keys
from engine.access.tokens import SCOPES, Scope, Verifier, issue, new_grant
from testing.counting import END, MIC, frame, rest, running, start, until, ws
from testing.odd_sdp import OFFER
from testing.whip_client import SDP, Voice, publishing


class Issuer:
    """Keys in a file, and tokens by them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.json"
        self.keys, _ = load_keys(self.path)
        self.access = Access(Verifier(KeyWatcher(self.path, self.keys)))

    def token(self, *scopes: Scope, conversations: str = "*", speaker: str | None = None, days: float = 1.0) -> str:
        return issue(self.keys, new_grant(frozenset(scopes), conversations, speaker, days))


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def http(url: str, token: str | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, headers=bearer(token) if token else {})


ROUTES: list[tuple[str, str, Scope]] = [
    ("GET", "/conversations", "all"),
    ("GET", "/conversations/demo/events", "history"),
    ("GET", "/conversations/demo/export?format=vtt", "history"),
    ("DELETE", "/conversations/demo", "delete"),
    ("GET", "/metrics", "metrics"),
    ("POST", "/whip/demo?speaker=alice", "publish"),
]
PUBLIC = {
    "/",
    "/call",
    "/healthz",
    "/readyz",
    "/asyncapi.json",
    "/schema/events.json",
    "/static/app.js",
    "/sdk/cberl.js",
}


def test_every_route_needs_its_scope(issuer: Issuer) -> None:
    async def main() -> None:
        async with running(access=issuer.access) as (_, url):
            for method, path, scope in ROUTES:
                others = tuple(other for other in SCOPES if other != scope)
                elsewhere = issuer.token(*SCOPES, conversations="other")
                for token, status in ((None, 401), ("nonsense", 401), (issuer.token(*others), 403), (elsewhere, 403)):
                    if token == elsewhere and scope in ("all", "metrics"):
                        continue
                    async with http(url, token) as client:
                        answer = await client.request(method, path, content=OFFER, headers=SDP)
                    assert (answer.status_code, answer.json()["type"]) == (status, "error"), (path, token)
                    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
                async with http(url, issuer.token(scope)) as client:
                    answer = await client.request(method, path, content=OFFER, headers=SDP)
                    assert answer.status_code in (200, 201, 404), path
            async with http(url) as client:
                for path in PUBLIC:
                    assert (await client.get(path)).status_code == 200
                assert (await client.get("/readyz")).json() == {"ready": True}
                assert (await client.get(f"/conversations?token={issuer.token(*SCOPES)}")).status_code == 401
            async with http(url, issuer.token("metrics")) as client:
                assert "asr" in (await client.get("/readyz")).json()
                counted = (await client.get("/metrics")).text
                assert f'cberl_refused_total{{code="unauthorized"}} {2 * len(ROUTES) + 1:.1f}' in counted
                assert f'cberl_refused_total{{code="forbidden"}} {2 * len(ROUTES) - 2:.1f}' in counted

    asyncio.run(main())


def test_a_page_swaps_its_token_for_a_cookie_that_scripts_cannot_read(issuer: Issuer) -> None:
    async def main() -> None:
        async with running(access=issuer.access) as (_, url), http(url) as client:
            token = issuer.token("all", "listen", days=2)
            assert (await client.post("/session", headers=bearer("nonsense"))).status_code == 401
            answer = await client.post("/session", headers=bearer(token))
            cookie = answer.headers["Set-Cookie"]
            port = url.rpartition(":")[2]
            attributes = r"HttpOnly; Max-Age=17\d{4}; Path=/; SameSite=strict"
            assert re.fullmatch(rf"cberl_token_{port}={re.escape(token)}; {attributes}", cookie)
            assert (await client.get("/conversations")).status_code == 200
            name, _, value = cookie.partition(";")[0].partition("=")
            async with ws(url, "/events?conversation=*", additional_headers={"Cookie": f"{name}={value}"}) as socket:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        raise AssertionError(await socket.recv())

    asyncio.run(main())


def test_a_socket_authenticates_by_header_or_first_message_and_never_by_its_address(issuer: Issuer) -> None:
    async def main() -> None:
        async with running(access=issuer.access, request_timeout_s=0.3) as (_, url):
            token = issuer.token("listen", conversations="support-*")
            path = "/events?conversation=support-1"
            async with ws(url, path, additional_headers=bearer(token)) as socket:
                await until(socket, "snapshot")
            async with ws(url, path) as socket:
                await socket.send(json.dumps({"type": "authenticate", "token": token}))
                await until(socket, "snapshot")
            no_token = (json.dumps({"type": kind}) for kind in ("authenticate", "hello"))
            for first in (None, "{", "[]", *no_token, "x" * 100_000, b"x"):
                async with ws(url, f"{path}&token={token}") as socket:
                    if first is not None:
                        await socket.send(first)
                    messages, code, _ = await rest(socket)
                    assert ([message["code"] for message in messages], code) == (["unauthorized"], 1008)
            for asked in ("support", "*", "sales-1"):
                async with ws(url, f"/events?conversation={asked}", additional_headers=bearer(token)) as socket:
                    messages, code, _ = await rest(socket)
                    assert ([message["code"] for message in messages], code) == (["forbidden"], 1008)

    asyncio.run(main())


def test_a_publisher_may_use_its_speaker_alone_and_hears_others_only_with_listen(issuer: Issuer) -> None:
    async def main() -> None:
        async with running(access=issuer.access) as (_, url):
            publish = bearer(issuer.token("publish", speaker="alice"))
            async with ws(url, "/ingest?conversation=demo", additional_headers=publish) as socket:
                await socket.send(start(MIC | {"speaker": "bob"}))
                await socket.send(frame(3))
                messages, code, _ = await rest(socket)
                assert (messages[-1]["code"], code) == ("forbidden", 1008)
            for more, heard in (((), set()), (("listen",), {"snapshot", "emotion"})):
                token = bearer(issuer.token("publish", *more, speaker="alice"))
                async with ws(url, "/ingest?conversation=demo", additional_headers=token) as socket:
                    await socket.send(start())
                    await socket.send(frame(3))
                    await socket.send(END)
                    messages, code, _ = await rest(socket)
                kinds = {message["type"] for message in messages}
                assert (kinds & {"snapshot", "emotion"}, code) == (heard, 1000)
                assert {"session.started", "session.ended"} <= kinds

    asyncio.run(main())


def test_an_open_socket_ends_when_its_token_is_withdrawn_or_expires(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.access.guard.RECHECK_S", 0.1)
    monkeypatch.setattr("engine.watched_file.CHECK_S", 0.1)

    async def main() -> None:
        grant = new_grant(frozenset({"listen"}), "*", None, 1.0)
        brief = issuer.token("listen", days=2.5 / 86_400)
        async with (
            running(access=issuer.access) as (_, url),
            ws(url, "/events?conversation=demo", additional_headers=bearer(issue(issuer.keys, grant))) as withdrawn,
            ws(url, "/events?conversation=demo", additional_headers=bearer(brief)) as expired,
            ws(url, "/events?conversation=demo", additional_headers=bearer(issuer.token("listen"))) as other,
        ):
            await until(withdrawn, "snapshot")
            save_keys(issuer.path, issuer.keys.denying(grant.id, grant.expires_s or 0))
            for socket, says in ((withdrawn, "withdrawn"), (expired, "expired")):
                messages, code, _ = await rest(socket)
                assert (messages[-1]["code"], code) == ("unauthorized", 1008)
                assert says in messages[-1]["message"]
            await until(other, "snapshot")
            assert other.state.name == "OPEN"

    asyncio.run(main())


def test_a_token_that_many_addresses_share_is_one_client(issuer: Issuer) -> None:
    shared, other = bearer(issuer.token("listen")), bearer(issuer.token("listen"))
    path = "/events?conversation=demo"

    async def main() -> None:
        flags = {"max_connections_per_client": 2, "new_sockets_per_s": 10.0}
        async with running(access=issuer.access, **flags) as (_, url), AsyncExitStack() as stack:
            for number, token in ((2, shared), (3, shared), (4, other)):
                options = {"local_addr": (f"127.0.0.{number}", 0), "additional_headers": token}
                await until(await stack.enter_async_context(ws(url, path, **options)), "snapshot")
            async with ws(url, path, local_addr=("127.0.0.5", 0), additional_headers=shared) as refused:
                messages, code, _ = await rest(refused)
                assert ([it["code"] for it in messages], code) == (["too_many"], 1013)
                assert "has 2 of at most 2" in messages[0]["message"]
            for number in range(6, 60):  # each from another address, with one token
                async with ws(url, path, local_addr=(f"127.0.0.{number}", 0), additional_headers=shared) as socket:
                    if "connect too often" in (await rest(socket))[0][0]["message"]:
                        return
            raise AssertionError("a token may connect as often as it likes")

    asyncio.run(main())


def test_a_webrtc_peer_is_disconnected_when_its_token_is_withdrawn_unless_it_has_come_again_with_another(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.access.guard.RECHECK_S", 0.1)
    monkeypatch.setattr("engine.watched_file.CHECK_S", 0.1)
    silence = np.zeros(16_000, np.float32)

    async def main() -> None:
        grant = new_grant(frozenset({"publish"}), "*", None, 1.0)
        token, other = issue(issuer.keys, grant), issuer.token("publish")
        alice, bob, again = Voice(silence), Voice(silence), Voice(silence)
        async with (
            running(access=issuer.access) as (_, url),
            publishing(url, "demo", "alice", alice, token=token) as withdrawn,
            publishing(url, "demo", "bob", bob, token=token) as before,
            publishing(url, "demo", "bob", again, token=other, resume=before.token) as renewed,
        ):
            save_keys(issuer.path, issuer.keys.denying(grant.id, grant.expires_s or 0))
            async with asyncio.timeout(5), http(url) as client:
                while (await client.patch(withdrawn.location)).status_code != 404:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                assert (await client.patch(renewed.location)).status_code != 404
            assert (await renewed.hang_up())["received_s"] > 0

    asyncio.run(main())


def test_the_python_client_sends_its_token(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(access=issuer.access) as (_, url):
            with pytest.raises(RefusedError, match="This is not a token"):
                await anext(subscribe(url, "demo", token="nonsense", proxy=None))
            token = issuer.token("publish", "listen")
            sent = [it async for it in publish_audio(url, "demo", {"alice": bytes(640)}, token=token, proxy=None)]
            assert type(sent[-1]).__name__ == "SessionEnded"
            monkeypatch.setenv("CBERL_TOKEN", token)
            assert isinstance(await anext(subscribe(url, "demo", proxy=None)), Snapshot)

    asyncio.run(main())


def test_ice_servers_are_told_only_to_publishers(issuer: Issuer) -> None:
    async def main() -> None:
        async with running(access=issuer.access, ice_servers="turn:me:secret@turn.example:3478") as (_, url):
            for token, links in ((None, 0), (issuer.token("listen"), 0), (issuer.token("publish"), 1)):
                async with http(url, token) as client:
                    answer = await client.options("/whip/demo")
                    assert (answer.status_code, len(answer.headers.get_list("Link"))) == (204, links)

    asyncio.run(main())

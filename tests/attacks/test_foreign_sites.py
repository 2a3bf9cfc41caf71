"""Pages of other sites, also where their name leads to this machine (DNS rebinding)."""

import asyncio

import httpx
from websockets.asyncio.client import connect

from testing.live_engine import rest, ws
from testing.serving import Served, bystander

EVIL = {"Host": "evil.example:8765", "Origin": "http://evil.example:8765"}
PATHS = [
    ("GET", "/"), ("GET", "/call"), ("GET", "/static/app.js"), ("GET", "/static/call/call.js"), ("GET", "/healthz"),
    ("GET", "/sdk/cberl.js"),
    ("GET", "/readyz"), ("GET", "/conversations"), ("GET", "/conversations/private/events"),
    ("DELETE", "/conversations/private"), ("GET", "/asyncapi.json"), ("GET", "/schema/events.json"),
    ("POST", "/whip/private?speaker=a"), ("OPTIONS", "/whip/private"), ("DELETE", "/whip/private/token"),
    ("PATCH", "/whip/private/token"), ("GET", "/nowhere"),
]  # fmt: skip


def test_a_foreign_site_reads_and_changes_nothing_on_any_route(server: Served) -> None:
    async def main() -> None:
        async with bystander(server), httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            for method, path in PATHS:
                rebound = await http.request(method, path, headers=EVIL)
                assert (rebound.status_code, rebound.json()["code"]) == (421, "forbidden_host"), path
                origin = {"Origin": "http://evil.example"}
                foreign = await http.request(method, path, headers=origin)
                assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden_origin"), path
                assert "access-control-allow-origin" not in foreign.headers
            listed = {it["id"] for it in (await http.get("/conversations")).json()["conversations"]}
            for path in (
                "/events?conversation=*",
                "/events?conversation=undisturbed",
                "/ingest?conversation=x",
                f"/signal?conversation=x&name=a&id={'0' * 32}",
            ):
                assert await codes(rebound_socket(path)) == ["forbidden_host"]
                assert await codes(ws(server.url, path, origin="http://evil.example")) == ["forbidden_origin"]
            assert "undisturbed" in listed
        server.assert_calm()

    def rebound_socket(path: str) -> connect:
        """As a browser connects where evil.example leads to this machine."""
        port = int(server.url.rpartition(":")[2])
        host = f"evil.example:{port}"
        return connect(f"ws://{host}{path}", host="127.0.0.1", port=port, origin=f"http://{host}", proxy=None)

    async def codes(connecting: connect) -> list[str]:
        async with connecting as client:
            found = [message["code"] for message in await rest(client)]
            assert client.close_code == 1008
        return found

    asyncio.run(main())

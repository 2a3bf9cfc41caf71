"""Connections without end, requests that never finish, and publishers without media."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx

from testing.live_engine import rest, start, stretch, until, ws
from testing.serving import Served, bystander
from testing.slow_connections import slow_connections

FILES = 600  # of the server
SILENT, OTHER = "127.0.0.20", "127.0.0.21"  # not HOSTS, which have connected too often for a while


def test_more_slow_connections_than_open_files_hurt_nobody_and_end_in_time(server: Served) -> None:
    """They trickle a byte at a time, from ten addresses, and connect again when they are cut off."""
    port = int(server.url.rpartition(":")[2])

    async def main() -> None:
        async with bystander(server), slow_connections(port, 2 * FILES) as cut_off:
            async with asyncio.timeout(30):
                await cut_off.wait()
            await asyncio.sleep(3)  # more than one round of deadlines
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http, asyncio.timeout(20):
            while True:
                try:
                    answer = await http.get("/healthz")
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    break
        server.assert_calm()

    asyncio.run(main())


def test_silent_publishers_lose_their_slots_and_one_address_cannot_take_them_all(server: Served) -> None:
    """Two shapes: nothing at all, and a session without media."""

    async def main() -> None:
        async with bystander(server), AsyncExitStack() as stack:
            silent = []
            for number in range(16):
                path = f"/ingest?conversation=silent-{number}"
                client = await stack.enter_async_context(ws(server.url, path, local_addr=(SILENT, 0)))
                if number % 2:
                    await client.send(start("mallory"))
                silent.append(client)
            await speak_once("during")
            async with asyncio.timeout(15):
                ends = [(await rest(client))[-1] for client in silent]
            assert [end["code"] for end in ends[::2]] == ["no_media"] * 8
            assert [end["code"] for end in ends[1::2]] == ["no_media"] * 2 + ["too_many"] * 6  # half of four slots
            assert {client.close_code for client in silent} == {1008, 1013}
            await speak_once("after")
        server.assert_calm()

    async def speak_once(conversation: str) -> None:
        path = f"/ingest?conversation={conversation}"
        async with ws(server.url, path, local_addr=(OTHER, 0)) as client:
            await client.send(start())
            await client.send(stretch(0.0, 0.2)[0])
            await until(client, "speaker.joined")

    asyncio.run(main())


def test_a_control_message_of_a_megabyte_is_answered_without_being_read(server: Served) -> None:
    tracks = [{"id": f"audio-{n}", "speaker": "a", "kind": "audio"} for n in range(17_000)]
    message = json.dumps({"type": "session.start", "tracks": tracks})
    assert 2**19 < len(message) < 2**20

    async def main() -> None:
        before = server.resident_mb
        async with bystander(server), ws(server.url, "/ingest?conversation=large") as client:
            for _ in range(20):
                await client.send(message)
                assert (await until(client, "error"))["code"] == "too_large"
            await client.send(start())
            await until(client, "session.started")
        assert server.resident_mb < before + 100
        server.assert_calm()

    asyncio.run(main())

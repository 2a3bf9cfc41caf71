"""Two engines behind HAProxy share their conversations in Redis: where one dies, the other continues with its graph."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest

from testing.haproxy import haproxy, needs_haproxy
from testing.live_engine import FIRST, SECOND, Message, assert_same, emotions, publish, rest, start, stretch, ws
from testing.redis_server import needs_redis, redis_server
from testing.serving import Served, served

pytestmark = [needs_redis, needs_haproxy, pytest.mark.timeout(400)]


def untimed(events: list[Message]) -> list[Message]:
    """Finals without the media time, which depends on when the publisher came back."""
    return [event | {"start_s": 0.0, "end_s": 0.0} for event in emotions(events)]


def test_another_engine_continues_with_the_same_graph_and_no_final_is_lost_or_doubled(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with redis_server() as redis:
        flags = ("--conversation-store", redis, "--store-lease-s", "1", "--keep-text", "--rejoin-grace-s", "120")
        with (
            served(folders[0], *flags) as one,
            served(folders[1], *flags) as other,
            haproxy(one.url, other.url) as url,
        ):
            asyncio.run(publish(url, "whole", stretch(*FIRST)))
            uninterrupted = untimed(asyncio.run(publish(url, "whole", stretch(*SECOND))))
            asyncio.run(one_is_killed(url, [one, other], uninterrupted))


async def one_is_killed(url: str, edges: list[Served], uninterrupted: list[Message]) -> None:
    finals = emotions(first := await publish(url, "demo", stretch(*FIRST)))
    assert len(finals) == 5, first
    last_seen = finals[1]["seq"]  # a subscriber has not received the rest
    (owner,) = [edge for edge in edges if await runs(edge.url, "demo")]
    async with ws(url, "/ingest?conversation=demo") as client:
        await client.send(start())
        for media in stretch(SECOND[0], SECOND[0] + 3.0):  # in the middle of a turn
            await client.send(media)
        owner.process.send_signal(signal.SIGKILL)
        finals += emotions(await rest(client))
    edges.remove(owner)
    async with ws(url, f"/events?conversation=demo&resume_from_seq={last_seen}") as watcher:
        messages = [json.loads(await watcher.recv()) for _ in range(1 + len(finals[2:]))]
        continued = untimed(await publish(url, "demo", stretch(*SECOND)))
        assert_same(continued, uninterrupted)
        while len(emotions(messages)) < len(finals[2:]) + len(continued):
            messages.append(json.loads(await watcher.recv()))
    numbers = [message["seq"] for message in messages if "seq" in message]
    assert numbers == sorted(set(numbers))
    assert "resync" not in {message["type"] for message in messages}
    assert [event["seq"] for event in emotions(messages)][: len(finals) - 2] == [event["seq"] for event in finals[2:]]
    edges[0].assert_calm()


async def runs(url: str, conversation: str) -> bool:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        found = (await http.get("/conversations")).json()["conversations"]
    return conversation in {it["id"] for it in found if it["active"]}

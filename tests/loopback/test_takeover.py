"""Two engines behind HAProxy share their models on Ray and their conversations in Redis. Any of them may die."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest

from testing.haproxy import haproxy, needs_haproxy
from testing.live_engine import FIRST, SECOND, Message, assert_same, emotions, publish, rest, start, stretch, ws
from testing.ray_cluster import RayCluster, needs_ray, ray_cluster
from testing.redis_server import needs_redis, redis_server
from testing.serving import Served, served

pytestmark = [needs_redis, needs_haproxy, needs_ray, pytest.mark.timeout(400)]


def untimed(events: list[Message]) -> list[Message]:
    """Finals without the media time, which depends on when the publisher came back."""
    return [event | {"start_s": 0.0, "end_s": 0.0} for event in emotions(events)]


def test_conversations_survive_the_death_of_an_engine_and_of_replicas_with_the_same_graph_and_each_final_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    scale = ("--least", "2", "--most", "2", "--cores", "0.1", "--whisper-model", "tiny.en")
    with redis_server() as redis, ray_cluster(tmp_path, *scale) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        shared = ("--inference", cluster.address, "--conversation-store", redis, "--store-lease-s", "1")
        flags = (*shared, "--keep-text", "--rejoin-grace-s", "120", "--because")
        with (
            served(folders[0], *flags) as one,
            served(folders[1], *flags) as other,
            haproxy(one.url, other.url) as url,
        ):
            asyncio.run(publish(url, "whole", stretch(*FIRST)))
            uninterrupted = untimed(asyncio.run(publish(url, "whole", stretch(*SECOND))))
            asyncio.run(some_are_killed(url, [one, other], cluster, uninterrupted))


async def some_are_killed(url: str, edges: list[Served], cluster: RayCluster, uninterrupted: list[Message]) -> None:
    finals = emotions(first := await publish(url, "demo", stretch(*FIRST)))
    assert len(finals) == 5, first
    last_seen = finals[1]["seq"]  # a subscriber has not received the rest
    (owner,) = [edge for edge in edges if await runs(edge.url, "demo")]
    async with ws(url, "/ingest?conversation=demo") as client:
        await client.send(start())
        for media in stretch(SECOND[0], SECOND[0] + 3.0):  # in the middle of a turn
            await client.send(media)
        for deployment in ("transcriber", "encoders", "graph"):
            cluster.kill_a_replica(deployment)
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

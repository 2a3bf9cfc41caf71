"""Two engines share their conversations in Redis: where one dies, the other continues with the same graph."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from testing.live_engine import FIRST, SECOND, Message, assert_same, emotions, publish, rest, start, stretch, ws
from testing.redis_server import needs_redis, redis_server
from testing.serving import Served, served

pytestmark = [needs_redis, pytest.mark.timeout(400)]


def untimed(events: list[Message]) -> list[Message]:
    """Finals without the media time, which depends on when the publisher came back."""
    return [event | {"start_s": 0.0, "end_s": 0.0} for event in emotions(events)]


def test_another_engine_continues_with_the_same_graph_and_no_final_is_lost_or_doubled(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with redis_server() as redis:
        flags = ("--conversation-store", redis, "--store-lease-s", "1", "--keep-text", "--rejoin-grace-s", "120")
        with served(tmp_path / "one", *flags) as one, served(tmp_path / "other", *flags) as other:
            asyncio.run(publish(one.url, "whole", stretch(*FIRST)))
            uninterrupted = untimed(asyncio.run(publish(one.url, "whole", stretch(*SECOND))))
            asyncio.run(killed(one, other, uninterrupted))
            other.assert_calm()


async def killed(one: Served, other: Served, uninterrupted: list[Message]) -> None:
    finals = emotions(first := await publish(one.url, "demo", stretch(*FIRST)))
    assert len(finals) == 5, first
    async with ws(one.url, "/ingest?conversation=demo") as client:
        await client.send(start())
        for media in stretch(SECOND[0], SECOND[0] + 3.0):
            await client.send(media)
        one.process.send_signal(signal.SIGKILL)
        finals += emotions(await rest(client))
    last_seen = finals[1]["seq"]  # a subscriber who had not received the rest
    async with ws(other.url, f"/events?conversation=demo&resume_from_seq={last_seen}") as watcher:
        replayed = [json.loads(await watcher.recv()) for _ in range(1 + len(finals[2:]))]
        assert replayed[0]["type"] == "snapshot"
        continued = untimed(await publish(other.url, "demo", stretch(*SECOND)))
        assert_same(continued, uninterrupted)
        messages = replayed + [json.loads(await watcher.recv()) for _ in range(len(continued) + 4)]
    numbers = [message["seq"] for message in messages if "seq" in message]
    assert numbers == sorted(set(numbers))
    assert "resync" not in {message["type"] for message in messages}
    seen = emotions(messages)
    assert [event["seq"] for event in seen[: len(finals) - 2]] == [event["seq"] for event in finals[2:]]

"""Attacks by what publishers send, on `cberl serve` as a process; a conversation beside each of them loses nothing."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from testing.hostile_publishers import HOSTILE, Attack, crowd_behind
from testing.live_engine import FIRST, Message, emotions, publish, stretch
from testing.serving import Served, bystander, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = ("--max-sessions-per-client", "1000", "--new-sockets-per-s", "1000")  # they attack what is behind these
    with served(tmp_path_factory.mktemp("server"), "--stats-s", "1", *limits) as server:
        yield server


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_conversation_beside_an_attack_loses_nothing(server: Served, attack: Attack) -> None:
    async def main() -> None:
        async with bystander(server):
            await attack(server.url)

    before_mb = server.resident_mb
    asyncio.run(main())
    server.assert_calm()
    assert server.resident_mb < before_mb + 200


def test_a_crowd_that_promises_captions_is_behind_alone(server: Served) -> None:
    """Newcomers are accepted, and lose nothing either."""

    async def main() -> list[Message]:
        async with bystander(server), crowd_behind(server.url):
            return await publish(server.url, "newcomer", stretch(*FIRST))

    assert len(emotions(asyncio.run(main()))) == 5
    server.assert_calm()
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        assert http.get("/readyz").json()["events_not_encoded"] == 0

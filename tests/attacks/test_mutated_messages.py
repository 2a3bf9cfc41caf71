"""Changed messages and offers without end to a running server: it answers, does not grow, and others lose nothing."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from testing.fuzz.mutation import Mutator
from testing.fuzz.runner import TARGETS
from testing.fuzz.targets_live import NEXT, WORDS
from testing.fuzz.targets_webrtc import OFFER
from testing.live_engine import ws
from testing.serving import Served, bystander, served
from testing.whip_client import SDP

MESSAGES, EACH, OFFERS = 20_000, 250, 2_000
SEED = 14
FLAGS = (
    *("--new-sockets-per-s", "10000", "--captions-per-s", "10000", "--pictures-per-s", "10000"),
    *("--media-mb-per-s", "1000", "--max-sessions", "100", "--rejoin-grace-s", "0", "--first-media-s", "5"),
)
GROWTH_MB = 40  # of a process of 700 MB, whose allocator keeps what bursts needed; a leak of 10 kB per message is 200


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Whose limits on one address are lifted: it is the attack that counts here."""
    with served(tmp_path_factory.mktemp("mutated"), *FLAGS) as server:
        yield server


def test_twenty_thousand_changed_messages_crash_nothing_and_leave_nothing(attacked: Served, tmp_path: Path) -> None:
    """As they come on sockets, of which each sends many, and goes on until the server or the last message ends it."""
    with TARGETS["ingest-messages"].open(tmp_path) as inputs:
        messages = [message for sequence in inputs.seeds for message in sequence.split(NEXT)]
    mutator, rng = Mutator(sorted(set(messages)), WORDS), random.Random(SEED)
    answers: Counter[str] = Counter()

    async def publish(number: int, count: int) -> int:
        async with ws(attacked.url, f"/ingest?conversation=mutated-{number}") as client:
            reading = asyncio.create_task(read(client))
            sent = 0
            try:
                await client.send(messages[0].decode() if number % 2 else mutated_text())
                for sent in range(1, count):  # noqa: B007 - the number that was sent
                    await client.send(mutated())
            except ConnectionClosed:
                pass
            finally:
                client.transport.abort() if number % 3 else await client.close()
                await reading
        return sent + 1

    async def read(client) -> None:  # noqa: ANN001
        try:
            async for answer in client:
                answers[answer[:60].partition('"code":')[0]] += 1
        except ConnectionClosed:
            pass

    def mutated_text() -> str:
        return mutator.make(rng).decode(errors="replace")

    def mutated() -> str | bytes:
        data = mutator.make(rng)
        return data if data[:1] < b"\x09" else data.decode(errors="replace")

    async def send_all(most: int, first: int) -> int:
        sent, number = 0, first
        while sent < most:
            async with asyncio.TaskGroup() as tasks:
                batch = [tasks.create_task(publish(number + n, EACH)) for n in range(5)]
            sent, number = sent + sum(one.result() for one in batch), number + 5
        return sent

    async def main() -> None:
        async with bystander(attacked):
            await send_all(MESSAGES // 5, 0)  # warms up: each thread's memory stays
            before = attacked.resident_mb
            assert await send_all(MESSAGES, 10_000) >= MESSAGES
            grown = attacked.resident_mb - before
        assert grown < GROWTH_MB, f"{before:.0f} MB before, {grown:+.0f} MB"
        assert sum(answers.values()) > MESSAGES / 10, answers
        attacked.assert_calm()

    asyncio.run(main())


def test_two_thousand_changed_offers_are_answered_with_a_sentence_and_leave_nothing(attacked: Served) -> None:
    mutator, rng = (
        Mutator([OFFER], OFFER.splitlines(keepends=True), changes=12),
        random.Random(SEED),
    )
    statuses: Counter[int] = Counter()

    async def main() -> None:
        async with bystander(attacked), httpx.AsyncClient(base_url=attacked.url, trust_env=False, timeout=60) as http:
            await offer(http, OFFERS // 10)
            before = attacked.resident_mb
            await offer(http, OFFERS)
        assert statuses.keys() <= {201, 400, 422}, statuses
        assert statuses.total() >= OFFERS
        assert min(statuses[201], statuses[400]) > 50, statuses
        assert attacked.resident_mb - before < GROWTH_MB
        attacked.assert_calm()

    async def offer(http: httpx.AsyncClient, count: int) -> None:
        offers = iter([mutator.make(rng) for _ in range(count)])

        async def some(number: int) -> None:
            for sdp in offers:
                answer = await http.post(f"/whip/odd-{number}?speaker=mallory", content=sdp, headers=SDP)
                statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    await http.delete(answer.headers["Location"])
                else:
                    assert answer.json()["message"].endswith("."), answer.text

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(some(number))

    asyncio.run(main())

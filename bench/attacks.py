"""How much later are events while somebody attacks the engine?

    python bench/attacks.py [ATTACK ...] [--passes 2] [--json]

A conversation is streamed in real time to `cberl serve`, alone and beside each attack in turn, on one server. After
speech: the time from when the last sample of a turn was sent until its final event is received. The ratio is that of
the 95th percentiles beside the attack and alone; the target is 1.5. Attacks begin again while the conversation lasts.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testing.hostile_publishers import ATTACKER, HOSTILE, crowd_behind
from testing.hostile_video import HugePictures
from testing.live_engine import FIRST, demo, publish, start, stretch, ws
from testing.odd_sdp import OFFER
from testing.serving import MESSAGE_S, Served, served, stream, until_it_keeps_up
from testing.slow_connections import slow_connections
from testing.whip_client import SDP, Voice, publishing

TARGET = 1.5
FILES = 600  # of the server
LIMITS = ("--max-sessions-per-client", "1000", "--new-sockets-per-s", "1000")  # all clients have one address
FLAGS = ("--request-timeout-s", "2", "--first-media-s", "2", "--rejoin-grace-s", "0", "--stats-s", "1")

Attack = Callable[[str], Coroutine[Any, Any, None]]


async def another_conversation(url: str) -> None:
    """No attack: what a neighbour costs who uploads a recording."""
    await publish(url, "neighbour", stretch(*FIRST))


async def connections_that_trickle(url: str) -> None:
    async with slow_connections(int(url.rpartition(":")[2]), 2 * FILES):
        await asyncio.sleep(5)


async def offers_without_end(url: str) -> None:
    """14 per second."""
    transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
    async with httpx.AsyncClient(base_url=url, trust_env=False, transport=transport) as http:
        for number in range(70):
            await http.post(f"/whip/flood-{number}?speaker=mallory", content=OFFER, headers=SDP)
            await asyncio.sleep(1 / 14)


async def huge_pictures(url: str) -> None:
    async with publishing(url, "huge", "mallory", Voice(demo()[0, :1600]), HugePictures()):
        await asyncio.sleep(10)


async def a_crowd_that_is_behind(url: str) -> None:
    async with crowd_behind(url):
        pass


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        another_conversation,
        *HOSTILE,
        connections_that_trickle,
        huge_pictures,
        a_crowd_that_is_behind,
        offers_without_end,  # last: for a while it leaves no WebRTC peer to anybody, with limits that large
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"one of {', '.join(ATTACKS)}; default: all")
    parser.add_argument("--passes", type=int, default=2, help="of the conversation, for each attack (default: 2)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if unknown := set(options.attacks) - ATTACKS.keys():
        parser.error(f"there is no attack {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        # By itself, a flood of offers meets the default limits; others come from the address of the conversation.
        limits = () if options.attacks == ["offers_without_end"] else LIMITS
        with served(Path(folder), *FLAGS, *limits, open_files=FILES) as server:
            rows = asyncio.run(measure(server, options.attacks or list(ATTACKS), options.passes))
            server.assert_calm()
    if options.json:
        print(json.dumps(rows))
        return
    table = Table(title=f"after speech, beside attacks (target: ratio <= {TARGET})", title_justify="left")
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "), justify="left" if heading == "attack" else "right")
    for row in rows:
        table.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


async def measure(server: Served, attacks: list[str], passes: int) -> list[dict[str, Any]]:
    await publish(server.url, "warm", stretch(*FIRST))
    alone = [delay for number in range(passes) for delay in await conversation(server, f"alone-{number}")]
    rows = [row("none", alone, alone)]
    for name in attacks:
        beside: list[float] = []
        for number in range(passes):
            await until_it_keeps_up(server)
            async with asyncio.TaskGroup() as tasks:
                attacking = tasks.create_task(again_and_again(ATTACKS[name], server.url))
                beside += await conversation(server, f"{name}-{number}")
                attacking.cancel()
        rows.append(row(name, beside, alone))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def row(name: str, delays_ms: list[float], alone_ms: list[float]) -> dict[str, Any]:
    p50, p95 = np.percentile(delays_ms, (50, 95))
    ratio = p95 / np.percentile(alone_ms, 95)
    return {
        "attack": name, "finals": len(delays_ms), "p50_ms": round(float(p50)), "p95_ms": round(float(p95)),
        "ratio": round(float(ratio), 2),
    }  # fmt: skip


async def again_and_again(attack: Attack, url: str) -> None:
    while True:
        await attack(url)


async def conversation(server: Served, name: str) -> list[float]:
    """Milliseconds after speech of its final events."""
    now = asyncio.get_running_loop().time
    delays_ms: list[float] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ws(server.url, f"/ingest?conversation={name}"))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        await client.send(start())
        began_s = now()
        tasks.create_task(stream(client, asyncio.Event()))
        async for text in client:
            message = json.loads(text)
            if message["type"] == "emotion":
                sent_s = began_s + message["end_s"] // MESSAGE_S * MESSAGE_S
                delays_ms.append(1e3 * (now() - sent_s))
            assert message["type"] != "error", message
    return delays_ms


if __name__ == "__main__":
    main()

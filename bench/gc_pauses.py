"""How long does garbage collection stop the engine, and what does `gc.freeze` after loading the models save?

    python bench/gc_pauses.py [--seconds 20] [--json]

`cberl serve` with real models in a process of its own, once as it is and once without `gc.freeze`. First 14 offers of
WebRTC per second arrive, each of which is answered and hung up; then a conversation is uploaded again and again to 100
subscribers. Printed is the longest collection of each generation, in milliseconds, and how many there were. They
are measured in processor time, so that other programs on the machine do not count. Exits with 1 where the longest takes
more than 50 ms.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testing.live_engine import END, FIRST, rest, send, start, stretch, ws
from testing.odd_sdp import OFFER
from testing.serving import Served, served
from testing.whip_client import SDP

OFFERS_PER_S, SUBSCRIBERS, TARGET_MS = 14, 100, 50.0
FLAGS = (
    *("--new-sockets-per-s", "10000", "--max-connections-per-client", "1000", "--max-sessions", "500"),
    *("--rejoin-grace-s", "0", "--media-timeout-s", "2"),
)
# Pauses are counted from the moment at which the engine is ready: loading may take what it takes.
MEASURED = """
import gc, json, time
file, frozen = {file!r}, {frozen}
freeze, began, pauses = gc.freeze, [0.0], {{}}
def measure(phase, info):
    if phase == "start":
        began[0] = time.thread_time()
        return
    took_ms = (time.thread_time() - began[0]) * 1e3
    number, longest_ms = pauses.get(info["generation"], (0, 0.0))
    pauses[info["generation"]] = number + 1, max(took_ms, longest_ms)
    if took_ms > longest_ms or number % 100 == 0:
        with open(file, "w") as out:
            json.dump(pauses, out)
def ready():
    if frozen:
        freeze()
    gc.callbacks.append(measure)
gc.freeze = ready
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two loads")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    found = {name: measure(options.seconds, frozen=name == "as it is") for name in ("as it is", "without gc.freeze")}
    print(json.dumps(found)) if options.json else show(found)
    return int(longest_ms(found["as it is"]) > TARGET_MS)


def measure(seconds: float, *, frozen: bool) -> dict[str, Any]:
    """{load: {generation: (number, longest ms)}}"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pauses.json")
        with served(Path(folder), *FLAGS, before=MEASURED.format(file=str(file), frozen=frozen)) as server:
            found = {}
            for name, load in (("offers", offers), ("subscribers", subscribers)):
                asyncio.run(load(server, seconds))
                found[name] = json.loads(file.read_text()) if file.exists() else {}
            server.assert_calm()
    return found


async def offers(server: Served, seconds: float) -> None:
    async with (
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(round(OFFERS_PER_S * seconds)):
            tasks.create_task(offer(http, number))
            await asyncio.sleep(1 / OFFERS_PER_S)


async def offer(http: httpx.AsyncClient, number: int) -> None:
    answer = await http.post(f"/whip/offer-{number}?speaker=mallory", content=OFFER, headers=SDP)
    if answer.status_code == 201:
        await http.delete(answer.headers["Location"])


async def subscribers(server: Served, seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        listening = [tasks.create_task(listen(server)) for _ in range(SUBSCRIBERS)]
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            async with ws(server.url, "/ingest?conversation=heard") as client, asyncio.TaskGroup() as publishing:
                publishing.create_task(rest(client))
                await client.send(start())
                await send(client, stretch(*FIRST))
                await client.send(END)
        for one in listening:
            one.cancel()


async def listen(server: Served) -> None:
    async with ws(server.url, "/events?conversation=heard") as client:
        await rest(client)


def longest_ms(found: dict[str, Any]) -> float:
    return max((ms for load in found.values() for _, ms in load.values()), default=0.0)


def show(found: dict[str, Any]) -> None:
    table = Table(title=f"longest collection {longest_ms(found['as it is']):.1f} ms", title_justify="left")
    for heading in ("engine", "load so far", "generation", "collections", "longest ms"):
        table.add_column(heading, justify="right")
    for engine, loads in found.items():
        for load, generations in loads.items():
            for generation, (number, ms) in sorted(generations.items()):
                table.add_row(engine, load, generation, str(number), f"{ms:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

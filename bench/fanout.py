"""What does it cost to deliver every event to every subscriber, compared with a bare `websockets.broadcast`?

    python bench/fanout.py [--subscribers 500] [--rate 50] [--events 500] [--rounds 3] [--json]
    python bench/fanout.py --stalled [--subscribers 10]      effect of a subscriber that stops reading on the others

Both servers run in processes of their own, alternating, several times in one run; the subscribers are in this process.
Ours is the whole path of an event: encoded, numbered, kept for replay, and written to each subscriber's socket or put
into its bounded queue. The bare server writes a text that is already encoded to all sockets. CPU time is that of the
server's process from the first event to the last arrival; the best round of each counts. The target of the ratio is
1.3.

`--stalled` compares the time from publishing to arrival, p99 of all subscribers' events, with and without one more
subscriber that never reads. Events are so long (60 kB) that its socket buffers and its queue are soon full; it is then
disconnected with close code 1013. Also printed: the maximal growth of the server's resident memory. The target of the
ratio is 1.5.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.asyncio.server import serve as serve_bare

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.delivery.wire import encode
from testing.counting import rest, running
from testing.events import emotion

WARM_UP = 20  # events before the clock starts
LONG = 60_000  # characters
HEAD = 400  # characters of an event before and including the start of its text
TARGET = 1.5  # of p99 with a stalled subscriber, against that without
Publish = Callable[[int], None]


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[str, Publish]]:
    async with running() as (engine, url):

        def publish(n: int) -> None:
            engine.hub.publish(emotion(n))

        yield url.replace("http", "ws") + "/events?conversation=demo", publish


@asynccontextmanager
async def ours_long() -> AsyncIterator[tuple[str, Publish]]:
    """The text of each event begins with the time at which it was published."""
    async with running() as (engine, url):

        def publish(n: int) -> None:
            engine.hub.publish(replace(emotion(n), text=f"{time.time()} {'x' * LONG}"))

        yield url.replace("http", "ws") + "/events?conversation=demo", publish


@asynccontextmanager
async def bare() -> AsyncIterator[tuple[str, Publish]]:
    async def stay(socket: Any) -> None:
        await socket.wait_closed()

    text = encode(emotion(1), 1)
    async with serve_bare(stay, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}", lambda n: broadcast(server.connections, text)


async def act(name: str, events: int, rate: float) -> None:
    """The process of a server. Prints its address, waits for a line, publishes, waits for another line.

    Then it prints the CPU seconds used and the MB by which its memory grew.
    """
    loop, asked = asyncio.get_running_loop(), lambda: asyncio.to_thread(sys.stdin.readline)
    async with {"ours": ours, "ours_long": ours_long, "bare": bare}[name]() as (url, publish):
        print(url, flush=True)
        await asked()
        begun = loop.time()
        for n in range(WARM_UP + events):
            if n == WARM_UP:
                cpu_s, memory_mb = time.process_time(), largest_mb()
            publish(n + 1)
            await asyncio.sleep(max(0.0, begun + (n + 1) / rate - loop.time()))
        await asked()
        print(time.process_time() - cpu_s, largest_mb() - memory_mb, flush=True)


def largest_mb() -> float:
    """Maximum of the resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Server:
    """A server in a process of its own. `url` is the address for subscribers."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    def go(self) -> None:
        """Publish."""
        self._write(b"go\n")

    async def costs(self) -> tuple[float, float]:
        """All events have arrived. Returns the CPU seconds used and the MB by which the server's memory grew."""
        self._write(b"that was all\n")
        assert self._process.stdout is not None
        cpu_s, memory_mb = (await self._process.stdout.readline()).split()
        return float(cpu_s), float(memory_mb)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)


@asynccontextmanager
async def started(name: str, options: argparse.Namespace) -> AsyncIterator[Server]:
    command = [sys.executable, __file__, "--act", name, "--events", str(options.events), "--rate", str(options.rate)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process, (await process.stdout.readline()).decode().strip())
    finally:
        process.stdin.close()
        await process.wait()


async def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """CPU time per delivery, and the time between the first and the last arrival of an event."""
    async with started(name, options) as server:
        sockets = [await subscribed(server, name) for _ in range(options.subscribers)]
        readers = [asyncio.create_task(arrivals(it, WARM_UP + options.events)) for it in sockets]
        server.go()
        arrived = [[at_s for at_s, _ in (await reader)[WARM_UP:]] for reader in readers]
        cpu_s, _ = await server.costs()
        for it in sockets:
            it.transport.abort()
    spread_s = [max(times) - min(times) for times in zip(*arrived, strict=True)]
    return {
        "cpu_us": 1e6 * cpu_s / options.events / options.subscribers,
        "p99_spread_ms": 1e3 * quantiles(spread_s, n=100)[98],
    }


async def measure_long(stalled: bool, options: argparse.Namespace) -> dict[str, float]:
    """Latency of subscribers that read, memory growth, and the close code of one that does not read."""
    async with started("ours_long", options) as server:
        sockets = [await subscribed(server, "ours_long") for _ in range(options.subscribers)]
        # Its client buffers one message, and the socket its receive buffer.
        silent = [await connect(server.url, compression=None, proxy=None, max_queue=1) for _ in range(stalled)]
        readers = [asyncio.create_task(arrivals(it, WARM_UP + options.events)) for it in sockets]
        server.go()
        arrived = [(await reader)[WARM_UP:] for reader in readers]
        _, memory_mb = await server.costs()
        cut_off = [(await rest(it))[1] for it in silent]
        for it in sockets:
            it.transport.abort()
    taken_s = [at_s - published_at(head) for events in arrived for at_s, head in events]
    return {
        "p99_ms": 1e3 * quantiles(taken_s, n=100)[98],
        "memory_growth_mb": memory_mb,
        **({"close_code": cut_off[0]} if cut_off else {}),
    }


async def subscribed(server: Server, name: str) -> ClientConnection:
    """A socket that receives every event from now on."""
    socket = await connect(server.url, compression=None, proxy=None)
    if name != "bare":
        await socket.recv()  # the snapshot: a connection alone is not yet a subscription
    return socket


async def arrivals(subscriber: ClientConnection, events: int) -> list[tuple[float, str]]:
    """Arrival time and first characters of each emotion event."""
    found: list[tuple[float, str]] = []
    while len(found) < events:
        text = str(await subscriber.recv())
        if '"type":"emotion"' in text[:20]:
            found.append((time.time(), text[:HEAD]))
    return found


def published_at(head: str) -> float:
    return float(head.partition('"text":"')[2].partition(" ")[0])


async def compare(options: argparse.Namespace) -> dict[str, float]:
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
    for _ in range(options.rounds):
        for name, found in rounds.items():
            found.append(await measure(name, options))
    best = {name: min(found, key=lambda it: it["cpu_us"]) for name, found in rounds.items()}
    return {
        "subscribers": options.subscribers,
        "events_per_s": options.rate,
        **{f"{name}_{key}": round(value, 2) for name, found in best.items() for key, value in found.items()},
        "cpu_ratio": round(best["ours"]["cpu_us"] / best["bare"]["cpu_us"], 2),
    }


async def compare_stalled(options: argparse.Namespace) -> dict[str, float]:
    rounds: dict[str, list[dict[str, float]]] = {"alone": [], "stalled": []}
    for _ in range(options.rounds):
        for name, found in rounds.items():
            found.append(await measure_long(name == "stalled", options))
    best = {name: min(found, key=lambda it: it["p99_ms"]) for name, found in rounds.items()}
    return {
        "subscribers": options.subscribers,
        "events_per_s": options.rate,
        **{f"{name}_{key}": round(value, 2) for name, found in best.items() for key, value in found.items()},
        "p99_ratio": round(best["stalled"]["p99_ms"] / best["alone"]["p99_ms"], 2),
        "target": TARGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalled", action="store_true", help="with and without a subscriber that reads nothing")
    parser.add_argument("--subscribers", type=int, help="default: 500, or 10 with --stalled")
    parser.add_argument("--rate", type=float, default=50.0, help="events per second")
    parser.add_argument("--events", type=int, default=500, help="events per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--act", choices=("ours", "ours_long", "bare"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.act:
        asyncio.run(act(options.act, options.events, options.rate))
        return
    options.subscribers = options.subscribers or (10 if options.stalled else 500)
    result = asyncio.run(compare_stalled(options) if options.stalled else compare(options))
    if options.json:
        print(json.dumps(result))
        return
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:g}")
    Console().print(table)


if __name__ == "__main__":
    main()

"""What does it cost to give every subscriber every event, against a bare `websockets.broadcast`?

    python bench/fanout.py [--subscribers 500] [--rate 50] [--events 500] [--rounds 3] [--json]

Both servers run in processes of their own, one after the other, several times in one run; the subscribers are here.
Ours is the whole way of an event: encoded, numbered, kept in the ring, into each subscriber's bounded queue, and out
by uvicorn. The bare one writes a text that is already encoded to all sockets. CPU is that of the server's process
from the first event to the last arrival; the best round of each counts.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.asyncio.server import serve as serve_bare

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.publish.wire import encode
from tests.engine.counting import running
from tests.engine.publish.events import emotion

WARM_UP = 20  # events before the clock starts
Publish = Callable[[int], None]


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[str, Publish]]:
    async with running() as (engine, url):

        def publish(n: int) -> None:
            engine.hub.publish(emotion(n))

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
    """A server's process: says its address, waits for a line, publishes; when all has arrived, says what that took."""
    loop, asked = asyncio.get_running_loop(), lambda: asyncio.to_thread(sys.stdin.readline)
    async with {"ours": ours, "bare": bare}[name]() as (url, publish):
        print(url, flush=True)
        await asked()
        begun = loop.time()
        for n in range(WARM_UP + events):
            if n == WARM_UP:
                cpu_s = time.process_time()
            publish(n + 1)
            await asyncio.sleep(max(0.0, begun + (n + 1) / rate - loop.time()))
        await asked()
        print(time.process_time() - cpu_s, flush=True)


async def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """CPU a delivery, and how far apart the first and the last subscriber got an event."""
    command = [sys.executable, __file__, "--act", name, "--events", str(options.events), "--rate", str(options.rate)]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = (await server.stdout.readline()).decode().strip()
        sockets = [await connect(url, compression=None, proxy=None) for _ in range(options.subscribers)]
        wanted = WARM_UP + options.events
        readers = [asyncio.create_task(arrivals(socket, wanted)) for socket in sockets]
        server.stdin.write(b"go\n")
        arrived = [(await reader)[WARM_UP:] for reader in readers]
        server.stdin.write(b"that was all\n")
        cpu_s = float(await server.stdout.readline())
        for socket in sockets:
            socket.transport.abort()
    finally:
        server.stdin.close()
        await server.wait()
    spread_s = [max(times) - min(times) for times in zip(*arrived, strict=True)]
    return {
        "cpu_us": 1e6 * cpu_s / options.events / options.subscribers,
        "p99_spread_ms": 1e3 * quantiles(spread_s, n=100)[98],
    }


async def arrivals(socket: ClientConnection, events: int) -> list[float]:
    """When each emotion event came."""
    times: list[float] = []
    while len(times) < events:
        if '"type":"emotion"' in str(await socket.recv())[:20]:
            times.append(time.perf_counter())
    return times


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0, help="events a second")
    parser.add_argument("--events", type=int, default=500, help="events a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--act", choices=("ours", "bare"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.act:
        asyncio.run(act(options.act, options.events, options.rate))
        return
    result = asyncio.run(compare(options))
    if options.json:
        print(json.dumps(result))
        return
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:g}")
    Console().print(table)


if __name__ == "__main__":
    main()

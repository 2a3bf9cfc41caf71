"""How many machines does a number of conversations need, and what do failures cost? A simulation on measured costs.

    python bench/fleet.py [--json] [--conversations 10 1000 100000] [--seconds 60] [--cores-per-machine 8]

First measures, on this machine, the processor time of one turn in each part: speech to text alone and in a batch,
encoders, the step of the network, and everything else of the engine per second of conversation. Then simulates edges,
among which a hash ring divides the conversations, and replicas for inference behind a router that asks two of them at
random and takes the shorter queue; each serves its queue in batches.

Assumptions: somebody speaks half of the time, turns last 3 s on average, 1.4 recognitions are made per turn, machines
are as fast as this one, and the fullest edge uses 70 % of one core. There are at least two edges and two replicas, and
replicas are added until the 95th percentile of the time from a turn's end to its emotion, beyond the end silence, is
below 1 s. Failures: one edge and one replica die in the middle of the simulation. What arrives at the dead edge waits
for the lease and the publisher's reconnection. The ring is bounded, as HAProxy's hash-balance-factor does: an edge with
more than 1.25 times the mean passes a conversation on to the next. The table shows how full an edge was without that.
"""

import argparse
import asyncio
import bisect
import hashlib
import heapq
import itertools
import json
import math
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.ingest.file import read_media
from engine.media import AudioChunk, PullSource
from engine.server.supervisor import Supervisor, open_supervisor

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKING, TURN_S, RECOGNITIONS = 0.5, 3.0, 1.4
EDGE_LOAD, BALANCE = 0.7, 1.25
TARGET_S = 1.0
BATCH = 4
POINTS = 128  # of each edge on the ring
LEASE_S, RECONNECT_S, DETECT_S, REPLICA_START_S = 5.0, 1.0, 0.5, 20.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one core. A batch of n turns costs batch_s + n * turn_s."""

    batch_s: float
    turn_s: float
    edge_per_s: float  # of one conversation, for each second

    def batch(self, turns: int) -> float:
        return self.batch_s + turns * self.turn_s


@dataclass(frozen=True, slots=True)
class Fleet:
    edges: int
    replicas: int


class HashRing:
    """Consistent hashing: when an edge goes, its conversations alone go elsewhere."""

    def __init__(self, edges: int) -> None:
        points = sorted((_point(f"edge {edge}/{n}"), edge) for edge in range(edges) for n in range(POINTS))
        self._points, self._edges = [point for point, _ in points], [edge for _, edge in points]

    def edge_of(self, conversation: str) -> int:
        return next(self._edges_from(conversation))

    def held(self, conversations: int, balance: float) -> list[int]:
        """How many conversations each edge holds, where none holds more than `balance` times the mean."""
        held = [0] * (max(self._edges) + 1)
        most = balance * conversations / len(held)
        for n in range(conversations):
            held[next(edge for edge in self._edges_from(f"conversation {n}") if held[edge] < most)] += 1
        return held

    def _edges_from(self, conversation: str) -> Iterator[int]:
        first = bisect.bisect(self._points, _point(conversation))
        return (self._edges[n % len(self._edges)] for n in itertools.count(first))


def _point(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


async def measure() -> Costs:
    """Of the models on this machine; the demo is the conversation."""
    async with open_supervisor(Settings(whisper_model="tiny.en", interim_ms=0, provisional_ms=0)) as supervisor:
        models = supervisor.models
        pcm = np.concatenate([chunk.pcm async for chunk in read_media(str(DEMO))])[: round(TURN_S * SAMPLE_RATE)]

        async def turns(count: int) -> None:
            text = models.text_encoder.prompt.build((), "a", "I got the job in London, and I start on Monday!")
            for work in (models.transcribe, models.describe_audio):
                await asyncio.gather(*(work(pcm) for _ in range(count)))
            await asyncio.gather(*(models.encode_text(text) for _ in range(count)))

        one, several = await _cpu_s(turns, 1), await _cpu_s(turns, BATCH)
        turn_s = (several - one) / (BATCH - 1)
        seconds, found, whole = await _whole_demo(supervisor)
        return Costs(max(0.0, one - turn_s), turn_s, max(0.0, whole - found * one) / seconds)


async def _cpu_s(turns: Any, count: int, rounds: int = 5) -> float:
    await turns(count)
    used = time.process_time()
    for _ in range(rounds):
        await turns(count)
    return (time.process_time() - used) / rounds


async def _whole_demo(supervisor: Supervisor) -> tuple[float, int, float]:
    """(seconds of conversation, turns, processor time)."""
    chunks = [chunk async for chunk in read_media(str(DEMO))]

    async def recording() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    subscription, used = supervisor.hub.subscribe("whole"), time.process_time()
    await supervisor.join("whole", PullSource(recording()), live=False)
    used = time.process_time() - used
    subscription.end("done")
    texts = [text async for _, text in subscription]
    return max(chunk.end_s for chunk in chunks), sum('"type":"emotion"' in text for text in texts), used


def simulate(costs: Costs, fleet: Fleet, conversations: int, seconds: float, *, fail: bool, seed: int = 0) -> Float32:
    """Seconds from the end of each turn to its emotion, beyond the end silence."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(conversations * SPEAKING / TURN_S * RECOGNITIONS * seconds)
    ends = np.sort(rng.uniform(0.0, seconds, count))
    arrivals = ends.copy()
    if fail:
        arrivals = np.where(_of_dead_edge(fleet, conversations, rng, ends, seconds / 2), seconds / 2, arrivals)
        waiting = (arrivals == seconds / 2) & (ends != arrivals)
        arrivals[waiting] = np.maximum(seconds / 2 + LEASE_S + RECONNECT_S, ends[waiting])
    order = np.argsort(arrivals, kind="stable")
    done = _serve(costs, fleet.replicas, arrivals[order], rng, seconds / 2 if fail else np.inf)
    return (done - ends[order]).astype(np.float32)


def _of_dead_edge(fleet: Fleet, conversations: int, rng: np.random.Generator, ends: Any, at_s: float) -> Any:
    """Which turns end at edge 0 while nobody serves its conversations."""
    ring, names = HashRing(fleet.edges), rng.integers(0, conversations, len(ends))
    down = (ends >= at_s) & (ends < at_s + LEASE_S + RECONNECT_S)
    on_edge = {name: ring.edge_of(f"conversation {name}") == 0 for name in set(names[down].tolist())}
    return np.array([it and on_edge[name] for it, name in zip(down.tolist(), names.tolist(), strict=True)], bool)


def _serve(costs: Costs, replicas: int, arrivals: Any, rng: np.random.Generator, fails_at_s: float) -> Any:
    """When each turn is done. Replica 0 dies at `fails_at_s`: its turns begin again at others."""
    queues: list[list[int]] = [[] for _ in range(replicas)]
    running: list[list[int]] = [[] for _ in range(replicas)]
    done, finished = np.zeros(len(arrivals)), [(float("inf"), -1)]
    waiting = [(float(at), n) for n, at in enumerate(arrivals)]  # sorted, so a heap
    pairs = rng.integers(0, replicas, (len(arrivals), 2)).tolist()
    dead_until = fails_at_s + REPLICA_START_S

    def begin(replica: int, now: float) -> None:
        running[replica], queues[replica] = queues[replica][:BATCH], queues[replica][BATCH:]
        if running[replica]:
            heapq.heappush(finished, (now + costs.batch(len(running[replica])), replica))

    while waiting or any(running):
        if waiting and waiting[0][0] <= finished[0][0]:
            now, turn = heapq.heappop(waiting)
            one, other = pairs[turn]
            alive = [it for it in (one, other) if it != 0 or not fails_at_s <= now < dead_until] or [replicas - 1]
            replica = min(alive, key=lambda it: len(queues[it]) + len(running[it]))
            queues[replica].append(turn)
        else:
            now, replica = heapq.heappop(finished)
            lost = replica == 0 and fails_at_s <= now < fails_at_s + costs.batch(BATCH)
            for turn in running[replica]:
                done[turn] = now
                if lost:
                    heapq.heappush(waiting, (now + DETECT_S, turn))
            running[replica] = []
        if not running[replica]:
            begin(replica, now)
    return done


def smallest(costs: Costs, conversations: int, seconds: float) -> Fleet:
    """The fewest edges and replicas that reach the target."""
    edges = max(2, math.ceil(conversations * costs.edge_per_s * BALANCE / EDGE_LOAD))
    rate = conversations * SPEAKING / TURN_S * RECOGNITIONS
    replicas = max(2, int(rate * costs.batch(BATCH) / BATCH))
    while True:
        late = np.percentile(simulate(costs, Fleet(edges, replicas), conversations, seconds, fail=False), 95)
        if late <= TARGET_S:
            return Fleet(edges, replicas)
        replicas = max(replicas + 1, int(replicas * 1.05))


def row(costs: Costs, conversations: int, seconds: float, cores: int) -> dict[str, Any]:
    fleet = smallest(costs, conversations, seconds)
    ring = HashRing(fleet.edges)
    unbounded = max(ring.held(conversations, math.inf))
    calm, failing = (simulate(costs, fleet, conversations, seconds, fail=fail) for fail in (False, True))
    return {
        "conversations": conversations,
        **asdict(fleet),
        "machines": math.ceil((fleet.edges + fleet.replicas) / cores),
        "fullest_edge_unbounded": unbounded * fleet.edges / conversations,
        "p95_s": float(np.percentile(calm, 95)),
        "p95_failing_s": float(np.percentile(failing, 95)),
        "latest_s": float(failing.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--conversations", type=int, nargs="+", default=[10, 1000, 100_000], help="numbers to simulate")
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated time (default: 60)")
    parser.add_argument("--cores-per-machine", type=int, default=8, help="(default: 8)")
    parser.add_argument("--costs", type=float, nargs=3, metavar=("BATCH", "TURN", "EDGE"), help="instead of measuring")
    options = parser.parse_args()
    costs = Costs(*options.costs) if options.costs else asyncio.run(measure())
    rows = [row(costs, count, options.seconds, options.cores_per_machine) for count in options.conversations]
    if options.json:
        print(json.dumps({"costs": asdict(costs), "rows": rows}))
        return
    title = (
        f"one batch {costs.batch_s * 1e3:.0f} ms + {costs.turn_s * 1e3:.0f} ms per turn, "
        f"edge {costs.edge_per_s * 100:.1f} % of a core per conversation"
    )
    heads = (
        "conversations",
        "edges",
        "replicas",
        "machines",
        "fullest / mean",
        "p95, s",
        "failing: p95, s",
        "latest, s",
    )
    table = Table(*heads, title=title, caption=f"machines of {options.cores_per_machine} cores", min_width=100)
    for it in rows:
        numbers = (f"{it[name]:,}" for name in ("conversations", "edges", "replicas", "machines"))
        late = (f"{it[name]:.2f}" for name in ("fullest_edge_unbounded", "p95_s", "p95_failing_s", "latest_s"))
        table.add_row(*numbers, *late)
    Console().print(table)


if __name__ == "__main__":
    main()

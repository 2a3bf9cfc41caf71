"""Do publishers that join and leave leave anything behind?

    python bench/soak.py [--cycles 1000] [--every 50] [--at-once 5] [--json]

A server with real models in a process of its own. In each cycle one publisher by WHIP and one by /ingest join, send
media for a fraction of a second and leave, alternating between the ways of `testing/churn.py`: by DELETE, by closing,
by a dead network, with an offer that is not followed up, with malformed messages. After every 50 cycles, when all have
left, the server counts its tasks, threads, file descriptors and resident memory (Linux). The first sample warms up.
Tasks, descriptors and threads must not rise at all; memory is judged by its slope over the last half of the samples, in
megabytes per thousand cycles, against the standard error of that slope. Exits with 1 if something grew.
"""

import argparse
import asyncio
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testing.churn import INGEST, WHIP, WHIP_TIMEOUT_S
from testing.server_process import server_apart

GROWTH_MB, SIGMAS = 1.0, 3.0  # growth is a slope per thousand cycles above both


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="cycles between two samples")
    parser.add_argument("--at-once", type=int, default=5, help="cycles that run at the same time")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if options.cycles < 6 * options.every:
        parser.error(f"a slope needs at least six samples: --cycles {6 * options.every} or more")
    result = verdict(asyncio.run(measure(options)), options.every)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    return int(result["grew"] != [])


async def measure(options: argparse.Namespace) -> list[dict[str, float]]:
    samples: list[dict[str, float]] = []
    # No grace: a conversation ends with its publishers.
    flags = {"rejoin_grace_s": 0, "media_timeout_s": WHIP_TIMEOUT_S, "max_sessions": 1000}
    async with server_apart(**flags) as (url, held):
        coming = iter(range(options.cycles))
        while batch := list(islice(coming, options.every)):
            cycles = iter(batch)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(options.at_once):
                    tasks.create_task(join_and_leave(url, cycles))
            samples.append(await held())
            print(batch[-1] + 1, samples[-1], file=sys.stderr, flush=True)
    return samples


async def join_and_leave(url: str, cycles: Any) -> None:
    for number in cycles:
        await asyncio.gather(WHIP[number % len(WHIP)](url), INGEST[number % len(INGEST)](url))


def verdict(samples: list[dict[str, float]], every: int) -> dict[str, Any]:
    last_half = [one["memory_mb"] for one in samples[len(samples) // 2 :]]
    thousands = np.arange(len(last_half)) * every / 1000
    (slope, _), covariance = np.polyfit(thousands, last_half, 1, cov=True)
    error = float(np.sqrt(covariance[0, 0]))
    grew = [name for name in ("tasks", "descriptors", "threads") if samples[-1][name] > samples[0][name]]
    if slope > max(GROWTH_MB, SIGMAS * error):
        grew.append("memory_mb")
    memory = {"slope_mb_per_1000": round(float(slope), 2), "standard_error": round(error, 2)}
    return {"cycles": every * len(samples), "grew": grew} | memory | {"samples": samples}


def show(result: dict[str, Any]) -> None:
    memory = f"memory {result['slope_mb_per_1000']:+g} ± {result['standard_error']:g} MB per thousand cycles at the end"
    grew = f"grew: {', '.join(result['grew'])}" if result["grew"] else "nothing grew beyond noise"
    table = Table(title=f"{result['cycles']} cycles: {grew}; {memory}", title_justify="left")
    for heading in ("sample", *result["samples"][0]):
        table.add_column(heading, justify="right")
    for number, one in enumerate(result["samples"], start=1):
        table.add_row(str(number), *(f"{value:g}" for value in one.values()))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

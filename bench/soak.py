"""Do clients that come and leave leave anything behind?

    python bench/soak.py [--minutes 10] [--at-once 5] [--every 20] [--plot docs/soak.svg] [--json]

A server with real models in a process of its own. In each cycle three clients come and leave: one by WHIP, one by
/ingest, and one that uploads, sends captions or subscribes, alternating between the ways of `testing/churn.py`: by
DELETE, by closing, by a dead network, with an offer that is not followed up, with malformed messages, by an abort. The
uploads are virtual sources: media that comes faster than it can be spoken, in total many times as long as the run. A
client that is refused because the machine is too busy is counted.
After every 20 cycles, when all have left, the server counts its tasks, threads, file descriptors and resident memory
(Linux). The first sample warms up. Tasks, descriptors and threads must not rise at all; memory is judged by its slope
over the last half of the samples, in megabytes per thousand sessions, against the standard error of that slope. Exits
with 1 if something grew. `--plot` needs matplotlib.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testing.churn import INGEST, OTHERS, UPLOAD_S, WHIP, WHIP_TIMEOUT_S, come, uploads
from testing.server_process import server_apart

SESSIONS = 3  # of a cycle
GROWTH_MB, SIGMAS = 1.0, 3.0  # growth is a slope per thousand sessions above both
LEAST_SAMPLES = 6
GREY, BLUE = "#808080", "#3987e5"  # legible on white and on black


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=int, default=20, help="cycles between two samples")
    parser.add_argument("--at-once", type=int, default=5, help="cycles that run at the same time")
    parser.add_argument("--plot", type=Path, help="write the samples of memory as SVG")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    result = verdict(asyncio.run(measure(options)), options.every)
    if options.plot:
        plot(result, options.plot)
    print(json.dumps(result)) if options.json else show(result)
    return int(result["grew"] != [])


async def measure(options: argparse.Namespace) -> list[dict[str, float]]:
    """At least LEAST_SAMPLES, however long they take."""
    samples: list[dict[str, float]] = []
    # No grace: a conversation ends with its publishers.
    flags = {
        "rejoin_grace_s": 0,
        "media_timeout_s": WHIP_TIMEOUT_S,
        "max_sessions": 1000,
        "media_mb_per_s": 1000.0,
        "max_connections_per_client": 1000,
    }
    async with server_apart(**flags) as (url, held):
        coming, began = count(), time.monotonic()
        while len(samples) < LEAST_SAMPLES or time.monotonic() < began + 60 * options.minutes:
            cycles = islice(coming, options.every)
            async with asyncio.TaskGroup() as tasks:
                coming_now = [tasks.create_task(join_and_leave(url, cycles)) for _ in range(options.at_once)]
            refused = sum(one.result() for one in coming_now)
            elapsed_s = round(time.monotonic() - began, 1)
            samples.append(await held() | {"refused": refused, "elapsed_s": elapsed_s})
            print(options.every * len(samples), samples[-1], file=sys.stderr, flush=True)
    return samples


async def join_and_leave(url: str, cycles: Iterator[int]) -> int:
    """How many were refused."""
    refused = 0
    for number in cycles:
        ways = [some[number % len(some)] for some in (WHIP, INGEST, OTHERS)]
        refused += (await asyncio.gather(*(come(way, url) for way in ways))).count(False)
    return refused


def verdict(samples: list[dict[str, float]], every: int) -> dict[str, Any]:
    last_half = [one["memory_mb"] for one in samples[len(samples) // 2 :]]
    thousands = np.arange(len(last_half)) * every * SESSIONS / 1000
    (slope, _), covariance = np.polyfit(thousands, last_half, 1, cov=True)
    error = float(np.sqrt(covariance[0, 0]))
    grew = [name for name in ("tasks", "descriptors", "threads") if samples[-1][name] > samples[0][name]]
    if slope > max(GROWTH_MB, SIGMAS * error):
        grew.append("memory_mb")
    cycles = every * len(samples)
    media_s = UPLOAD_S * sum(OTHERS[number % len(OTHERS)] is uploads for number in range(cycles))
    return {
        "sessions": SESSIONS * cycles,
        "elapsed_s": samples[-1]["elapsed_s"],
        "times_real_time": round(media_s / samples[-1]["elapsed_s"], 1),
        "refused": round(sum(one["refused"] for one in samples)),
        "grew": grew,
        "slope_mb_per_1000": round(float(slope), 2),
        "standard_error": round(error, 2),
        "samples": samples,
        "sessions_per_sample": SESSIONS * every,
    }


def show(result: dict[str, Any]) -> None:
    memory = (
        f"memory {result['slope_mb_per_1000']:+g} ± {result['standard_error']:g} MB per thousand sessions at the end"
    )
    grew = f"grew: {', '.join(result['grew'])}" if result["grew"] else "nothing grew beyond noise"
    load = f"{result['sessions']} sessions in {result['elapsed_s']:.0f} s, {result['times_real_time']:g} x real time"
    load += f", {result['refused']} refused"
    table = Table(title=f"{load}: {grew}; {memory}", title_justify="left")
    for heading in ("sample", *result["samples"][0]):
        table.add_column(heading, justify="right")
    for number, one in enumerate(result["samples"], start=1):
        table.add_row(str(number), *(f"{value:g}" for value in one.values()))
    Console().print(table)


def plot(result: dict[str, Any], path: Path) -> None:
    """Growth of resident memory over sessions. Without a background, so that it suits light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    growth = np.array([one["memory_mb"] - result["samples"][0]["memory_mb"] for one in result["samples"]])
    sessions = [result["sessions_per_sample"] * (number + 1) for number in range(len(growth))]
    with pyplot.rc_context({"text.color": GREY, "axes.labelcolor": GREY, "svg.hashsalt": "soak", "font.size": 11}):
        figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
        axes.plot(sessions, growth, color=BLUE, linewidth=2, label="server")
        allowed = GROWTH_MB * np.array(sessions) / 1000
        axes.plot(sessions, allowed, color=GREY, linestyle="--", label=f"{GROWTH_MB:g} MB per thousand sessions")
        most = 1.3 * max(growth.max(), allowed.max())
        axes.set(xlabel="sessions", ylabel="growth of memory, MB", ylim=(min(growth.min(), -0.1 * most), most))
        axes.legend(frameon=False)
        slope = f"{result['slope_mb_per_1000']:+.2f} ± {result['standard_error']:.2f} MB per thousand at the end"
        axes.set_title(f"{result['sessions']} sessions in {result['elapsed_s'] / 60:.0f} min: {slope}", fontsize=11)
        axes.tick_params(colors=GREY)
        axes.grid(color=GREY, alpha=0.25)
        for spine in axes.spines.values():
            spine.set_visible(False)
        figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())

"""`cberl bench`"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.benchmark.driver import Load, drive
from engine.benchmark.lateness import measured
from engine.benchmark.own_server import BenchError, Server, own_server
from engine.benchmark.plot import plot, require_matplotlib
from engine.benchmark.result import Row
from engine.benchmark.search import Search
from engine.benchmark.talk import bundled_clips
from engine.cli.common import run_async


@click.command(
    "bench",
    epilog="""\b
Examples:
  cberl bench                                         the largest number of conversations that this machine serves
  cberl bench --conversations 1,2,4,8 --plot curve.png
  cberl bench --captions --turn-ends synchronised     with captions; all stop speaking at the same moment
  cberl bench --url https://engine.example.org --token TOKEN
  cberl bench -- --whisper-model base.en              flags of the `cberl serve` that is measured""",
)
@click.option("--url", help="Measure this engine instead of starting one.")
@click.option("--token", envvar="CBERL_TOKEN", help="Its token, with --publish and --listen.")
@click.option("--conversations", metavar="N,N,...", help="Numbers to measure, instead of searching for the largest.")
@click.option(
    "--target-p95-s", type=click.FloatRange(0, min_open=True), default=1.5, show_default=True,
    help="From the end of speech to its event, for 95 % of the turns.",
)  # fmt: skip
@click.option("--most", type=click.IntRange(1, 10_000), default=512, show_default=True, help="End the search here.")
@click.option(
    "--seconds", type=click.FloatRange(15), default=30.0, show_default=True, help="Length of each measurement."
)
@click.option(
    "--speaking", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True,
    help="Share of the conversations in which somebody speaks at any moment.",
)  # fmt: skip
@click.option("--captions", is_flag=True, help="Send the words as captions, in place of speech to text.")
@click.option(
    "--turn-ends", type=click.Choice(["random", "synchronised"]), default="random", show_default=True,
    help="Synchronised: all conversations say the same at the same time, which is the worst case.",
)  # fmt: skip
@click.option(
    "--packet-ms", type=click.Choice(["20", "40", "100"]), default="100", show_default=True,
    help="Length of a packet: calls send 20 ms, the Python client 100.",
)  # fmt: skip
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG with the curve.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.argument("serve_flags", nargs=-1, type=click.UNPROCESSED)
def command(
    url: str | None, token: str | None, conversations: str | None, target_p95_s: float, most: int, seconds: float,
    speaking: float, captions: bool, turn_ends: str, packet_ms: str, picture: Path | None, as_json: bool,
    serve_flags: tuple[str, ...],
) -> None:  # fmt: skip
    """How many conversations does an engine serve before its events come late?

    Sends conversations of two speakers in real time, as calls do, and measures from the end of speech to the arrival of
    its final event. Without --url it measures a `cberl serve` of its own. Numbers are doubled until 95 % of the turns
    are later than the target, or something is lost; then the largest number is searched for by bisection. Ctrl-C ends
    with what was measured so far.
    """
    if url and serve_flags:
        raise click.UsageError("flags after -- are for the engine that is started here, not for that of --url")
    if picture:
        require_matplotlib()
    load = Load(seconds, speaking, captions, turn_ends == "synchronised")
    search: Search | list[int] = _numbers(conversations) if conversations else Search(most)
    rows: list[Row] = []
    interrupted = False
    try:
        run_async(_measure(url, token, serve_flags, float(packet_ms) / 1e3, load, search, target_p95_s, rows))
    except KeyboardInterrupt:
        interrupted = True
    largest = max((row.conversations for row in rows if row.served(target_p95_s)), default=0)
    if as_json:
        about = {"captions": captions, "turn_ends": turn_ends, "speaking": speaking, "packet_ms": int(packet_ms)}
        about |= {"seconds": seconds, "target_p95_s": target_p95_s, "url": url, "cores": os.cpu_count()}
        shown = [asdict(row) | {"driver_limited": row.driver_limited, "disturbed": row.disturbed} for row in rows]
        click.echo(json.dumps({"largest": largest, "interrupted": interrupted} | about | {"rows": shown}))
    elif rows:
        _show(rows, largest, target_p95_s)
    if picture and rows:
        words = "captions" if captions else "speech"
        plot(rows, target_p95_s, f"{largest} conversations with {words}, {turn_ends} turn ends", picture)
    if interrupted:
        raise KeyboardInterrupt


def _numbers(given: str) -> list[int]:
    try:
        numbers = [int(it) for it in given.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(
            f"numbers from 1 on with commas between them, not {given!r}", param_hint="--conversations"
        )
    return numbers


async def _measure(
    url: str | None, token: str | None, serve_flags: tuple[str, ...], packet_s: float, load: Load,
    search: Search | list[int], target_p95_s: float, rows: list[Row],
) -> None:  # fmt: skip
    """Adds to `rows`, so that they are there after an interruption."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("reading the bundled conversation ...")
    library = await bundled_clips(packet_s)
    async with _server(url, token, serve_flags, console) as server, measured() as lateness:
        for number in search:
            console.print(f"{number} conversations for {load.seconds:.0f} s ...")
            row = await drive(server, library, load, number, lateness)
            if row.failed == number and not rows:
                raise BenchError(f"no conversation was accepted: {row.problem}")
            rows.append(row)
            console.print(f"  {_sentence(row)}")
            if isinstance(search, Search):
                search.report(number, served=row.served(target_p95_s))


@asynccontextmanager
async def _server(
    url: str | None, token: str | None, flags: tuple[str, ...], console: Console
) -> AsyncIterator[Server]:
    if url:
        yield Server(url.rstrip("/"), token)
        return
    console.print("starting an engine ...")
    async with own_server(flags) as server:
        yield server


def _sentence(row: Row) -> str:
    if row.p95_ms is None:
        return f"no turn was answered: {row.problem or 'no event came'}"
    lost = f"; {row.failed} failed: {row.problem}" if row.failed else ""
    lost += f"; {row.missed} turns and {row.dropped_chunks} chunks lost" if row.missed or row.dropped_chunks else ""
    return f"{row.turns} turns, p50 {row.p50_ms:.0f} ms, p95 {row.p95_ms:.0f} ms, p99 {row.p99_ms:.0f} ms{lost}"


def _show(rows: list[Row], largest: int, target_p95_s: float) -> None:
    title = f"{largest} conversations with 95 % of the events within {target_p95_s:g} s"
    table = Table(title=title, title_justify="left", min_width=80)
    headings = ("number", "turns", "p50, ms", "p95, ms", "p99, ms", "lost", "server, cores", "driver", "others")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: row.conversations):
        late = [_cell(it) for it in (row.p50_ms, row.p95_ms, row.p99_ms)]
        lost = ", ".join(
            f"{number} {what}"
            for number, what in ((row.failed, "failed"), (row.missed, "turns"), (row.dropped_chunks, "chunks"))
            if number
        )
        driver = f"{row.driver_cores:.2f}{'*' * row.driver_limited}"
        cores = (_cell(row.server_cores, 2), driver, f"{_cell(row.other_cores, 2)}{'!' * row.disturbed}")
        table.add_row(str(row.conversations), str(row.turns), *late, lost or "-", *cores)
    console = Console()
    console.print(table)
    if any(row.driver_limited for row in rows):
        worst_ms = max(row.driver_late_ms for row in rows)
        console.print(
            f"* The driver itself was late, by up to {worst_ms:.0f} ms (p99 of its timers): the engine is better than "
            "these figures. Drive it from another machine, with --url."
        )
    if any(row.disturbed for row in rows):
        console.print("! Other processes used this machine meanwhile: the engine is better than these figures.")


def _cell(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

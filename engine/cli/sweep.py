"""`cberl sweep`"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from cberl.data.corpus import detect
from cberl.training.core.cluster import run_on_ray
from cberl.training.core.parallel import STDERR, Message, Task, run_in_processes
from cberl.training.core.recipe import names
from cberl.training.core.runs import Result, Run
from cberl.training.core.sweep import Combination, combinations, compared
from cberl.training.core.train import Epoch, set_threads
from cberl.training.core.training_data import Sources, prepare
from engine.cli.device import trains_on
from engine.cli.sources import takes_sources
from engine.cli.text_encoder import trained_with

CORES = os.cpu_count() or 1
ALL_CONVERSATIONS = -1  # the bar of all runs, among those of each


@click.command(
    "sweep",
    epilog=f"""\b
Examples:
  cberl sweep real --data MELD --out runs/sweep --seeds 5 --grid train.focal_gamma=0,1,2 --grid model.past=4,8
  cberl sweep plain --data MELD --out runs/plain --seeds 10 --jobs 4 --threads 1
  cberl sweep real --data MELD --out runs/sweep --grid model.past=4,8 --backend ray
  cberl report runs/sweep/*/ --data MELD                     the combinations compared, with intervals
The same command continues a sweep that was stopped: finished runs are not repeated. Recipes: {", ".join(names())}.
Ray needs pip install 'cberl-engine[cluster]'. RAY_ADDRESS names a cluster; all its machines must share OUT.""",
)
@click.argument("recipe", required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@takes_sources
@click.option("--out", type=click.Path(path_type=Path), default="runs/sweep", show_default=True, help="Runs' folder.")
@click.option("--grid", multiple=True, metavar="KEY=A,B,...", help="Values of a setting; may be repeated.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of all runs; may be repeated.")
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many, for each combination.")
@click.option("--jobs", type=click.IntRange(1), default=max(1, CORES // 2), show_default=True, help="Parallel runs.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each run.  [default: cores / jobs]")
@click.option("--backend", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@trained_with
@trains_on
def command(
    recipe: str | None,
    data: Path,
    classes: int | None,
    sources: Sources,
    out: Path,
    grid: tuple[str, ...],
    settings: tuple[str, ...],
    name: str,
    seed: int,
    seeds: int,
    jobs: int,
    threads: int | None,
    backend: str,
    cache: Path,
    text_encoder: Path,
    device: str,
) -> None:
    """Train every combination of a grid with every seed.

    Writes checkpoints to OUT/COMBINATION/seed-N, and their dev scores to OUT/sweep.json.
    """
    threads = threads or max(1, CORES // jobs)
    set_threads(threads)
    out = out.resolve()
    tried = combinations(recipe, settings, grid)
    corpus = detect(data, classes)
    prepare(corpus, [one.recipe.compose for one in tried], cache, text_encoder, sources).save(out)
    runs = [
        Run(one.recipe, n, out / one.name / f"seed-{n}", name, device)
        for one in tried
        for n in range(seed, seed + seeds)
    ]
    board = Board(runs)
    tasks = [Task(run, out, threads) for run in runs]
    try:
        with board.shown():
            if backend == "ray":
                run_on_ray(tasks, jobs, out / ".ray", board.update)
            else:
                run_in_processes(tasks, jobs, board.update)
    except KeyboardInterrupt:
        click.echo(f"{len(board.results)} of {len(runs)} runs are finished; the same command continues", err=True)
        raise
    finally:
        rows = _rows(tried, runs, board.results)
        about = {"corpus": corpus.name, "recipe": recipe, "settings": settings, "grid": grid, "seeds": seeds}
        failed = {str(run.folder): board.failures[run.folder] for run in runs if run.folder in board.failures}
        (out / "sweep.json").write_text(json.dumps({**about, "combinations": rows, "failed": failed}, indent=1) + "\n")
    _show(rows, out)
    if failed:
        raise click.ClickException(_failures(failed, len(runs)))


@dataclass(slots=True, eq=False)
class Board:
    """The progress of the runs, on a terminal, and their results."""

    runs: Sequence[Run]
    results: dict[Path, Result] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    _bars: dict[int, TaskID] = field(default_factory=dict)
    _progress: Progress = field(
        default_factory=lambda: Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
        )
    )

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._progress:
            self._bars[ALL_CONVERSATIONS] = self._progress.add_task("runs", total=len(self.runs))
            yield

    def update(self, index: int, message: Message) -> None:
        run = self.runs[index]
        label = f"{run.folder.parent.name} seed {run.seed}"
        if isinstance(message, Epoch):
            if index not in self._bars:
                self._bars[index] = self._progress.add_task(label, total=run.recipe.train.epochs)
            self._progress.update(self._bars[index], completed=message.epoch)
            return
        if isinstance(message, Result):
            self.results[run.folder] = message
            note = f"dev {message.dev_weighted_f1:.1f} weighted, {message.dev_macro_f1:.1f} macro"
        else:
            self.failures[run.folder] = message.why
            note = f"failed: {message.why}"
        if index in self._bars:
            self._progress.remove_task(self._bars.pop(index))
        self._progress.console.print(f"{label}: {note}", markup=False, highlight=False)
        self._progress.advance(self._bars[ALL_CONVERSATIONS])


def _rows(tried: Sequence[Combination], runs: Sequence[Run], results: dict[Path, Result]) -> list[dict[str, Any]]:
    by_name = {
        one.name: [results[run.folder] for run in runs if run.folder.parent.name == one.name and run.folder in results]
        for one in tried
    }
    choices = {one.name: one.choice for one in tried}
    return [{**row, "choice": choices[row["name"]]} for row in compared(by_name)]


def _show(rows: Sequence[dict[str, Any]], out: Path) -> None:
    table = Table(title="dev, percent, mean ± sd over seeds")
    for heading in ("", "seeds", "weighted F1", "macro F1"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for row in rows:
        scores = [f"{row[key]['mean']:.2f} ± {row[key]['sd']:.2f}" for key in ("dev_weighted_f1", "dev_macro_f1")]
        table.add_row(row["name"], str(row["seeds"]), *scores)
    Console().print(table)
    click.echo(str(out / "sweep.json"))


def _failures(failed: dict[str, str], count: int) -> str:
    lines = [f"  {folder}: {why}" for folder, why in failed.items()]
    return "\n".join(
        [f"{len(failed)} of {count} runs failed; the same command tries them again. See their {STDERR}:", *lines]
    )

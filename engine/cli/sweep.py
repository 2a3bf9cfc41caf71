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

from cberl.checkpoint import CheckpointError
from cberl.data.corpus import detect
from cberl.data.dialogue import DataError
from cberl.training.core.cluster import ClusterError, run_on_ray
from cberl.training.core.parallel import STDERR, Failure, Task, run_in_processes
from cberl.training.core.recipe import RecipeError, names
from cberl.training.core.runs import Result, Run, Sources, prepare
from cberl.training.core.sweep import Combination, combinations, compared
from cberl.training.core.train import Epoch, set_threads
from engine.cli.common import sentences
from engine.cli.device import trains_on
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
Stopped or killed, the same command goes on: what is finished is not run again. Recipes: {", ".join(names())}.
Ray needs pip install 'cberl-engine[cluster]'; RAY_ADDRESS names a cluster, whose machines must share OUT.""",
)
@click.argument("recipe", required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--ravdess", type=click.Path(path_type=Path), help="RAVDESS's folder, if the recipe joins voices.")
@click.option("--fer2013", type=click.Path(path_type=Path), help="FER2013's .npz, if the recipe joins faces.")
@click.option("--voices", is_flag=True, help="Let the speech network hear the corpus's own recordings.")
@click.option("--faces", is_flag=True, help="Let the expression network see the corpus's own films.")
@click.option("--out", type=click.Path(path_type=Path), default="runs/sweep", show_default=True, help="Runs' folder.")
@click.option("--grid", multiple=True, metavar="KEY=A,B,...", help="Every one of these values; may be repeated.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="For all runs; may be repeated.")
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many, for each combination.")
@click.option("--jobs", type=click.IntRange(1), default=max(1, CORES // 2), show_default=True, help="Runs at once.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each run.  [default: cores / jobs]")
@click.option("--backend", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@trained_with
@trains_on
def command(
    recipe: str | None,
    data: Path,
    classes: int | None,
    ravdess: Path | None,
    fer2013: Path | None,
    voices: bool,
    faces: bool,
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

    OUT/COMBINATION/seed-N are checkpoints, OUT/sweep.json compares them on dev.
    """
    threads = threads or max(1, CORES // jobs)
    set_threads(threads)
    out = out.resolve()
    with sentences(RecipeError, DataError, CheckpointError, FileNotFoundError, ClusterError, ValueError):
        tried = combinations(recipe, settings, grid)
        corpus = detect(data, classes)
        prepare(
            corpus, [one.recipe.compose for one in tried], cache, text_encoder, Sources(voices, faces, ravdess, fer2013)
        ).save(out)
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
                    run_on_ray(tasks, jobs, out / ".ray", board.tell)
                else:
                    run_in_processes(tasks, jobs, board.tell)
        except KeyboardInterrupt:
            click.echo(f"{len(board.results)} of {len(runs)} runs are finished; the same command goes on", err=True)
            raise
        finally:
            rows = _rows(tried, runs, board.results)
            about = {"corpus": corpus.name, "recipe": recipe, "settings": settings, "grid": grid, "seeds": seeds}
            failed = {str(run.folder): board.failures[run.folder] for run in runs if run.folder in board.failures}
            (out / "sweep.json").write_text(
                json.dumps({**about, "combinations": rows, "failed": failed}, indent=1) + "\n"
            )
    _show(rows, out)
    if failed:
        raise click.ClickException(_told(failed, len(runs)))


@dataclass(slots=True, eq=False)
class Board:
    """What has become of the runs, on a terminal."""

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

    def tell(self, index: int, said: Epoch | Result | Failure) -> None:
        run = self.runs[index]
        label = f"{run.folder.parent.name} seed {run.seed}"
        if isinstance(said, Epoch):
            if index not in self._bars:
                self._bars[index] = self._progress.add_task(label, total=run.recipe.train.epochs)
            self._progress.update(self._bars[index], completed=said.epoch)
            return
        if isinstance(said, Result):
            self.results[run.folder] = said
            note = f"dev {said.dev_weighted_f1:.1f} weighted, {said.dev_macro_f1:.1f} macro"
        else:
            self.failures[run.folder] = said.why
            note = f"failed: {said.why}"
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


def _told(failed: dict[str, str], count: int) -> str:
    named = [f"  {folder}: {why}" for folder, why in failed.items()]
    return "\n".join(
        [f"{len(failed)} of {count} runs failed; the same command tries them again. See their {STDERR}:", *named]
    )

"""`cberl train`"""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cberl.data.corpus import detect
from cberl.data.joined import joined
from cberl.training.core.recipe import load_recipe, names
from cberl.training.core.runs import Result, Run, require_new, run_seed
from cberl.training.core.train import Epoch, set_threads
from cberl.training.core.training_data import Sources, TrainingData, prepare
from engine.cli.device import trains_on
from engine.cli.sources import takes_sources
from engine.cli.text_encoder import trained_with


@click.command(
    "train",
    epilog=f"""\b
Examples:
  cberl train --data MELD --out runs/a                       one seed, the defaults
  cberl train real --data MELD --out runs/five --seeds 5     five seeds, the best on dev is named
  cberl train real --data MELD --out runs/five --seeds 5 --resume
  cberl train starter --data MELD --ravdess RAVDESS --fer2013 FER2013.npz --out runs/starter
  cberl train real --data MELD --also emotionpush.jsonl.gz --out runs/general
  cberl train plain --data MELD --set train.focal_gamma=2 --set model.past=5
  cberl train real --data MY-FILMS --speech-emotion --faces --out runs/films
Recipes: {", ".join(names())}; or your own .toml file.
DATA is a folder with MELD, IEMOCAP, EmoryNLP or your own conversations: see docs/data.md.""",
)
@click.argument("recipe", required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option(
    "--also",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another corpus with the same labels, a folder or .jsonl.gz; selection then is on dev of all.",
)
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@takes_sources
@click.option("--out", type=click.Path(path_type=Path), default="runs/cberl", show_default=True, help="Runs' folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Changes the recipe; may be repeated.")
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one run each.")
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@trained_with
@click.option("--resume", is_flag=True, help="Continue runs in --out that were stopped.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@trains_on
def command(
    recipe: str | None,
    data: Path,
    also: tuple[Path, ...],
    classes: int | None,
    sources: Sources,
    out: Path,
    settings: tuple[str, ...],
    name: str,
    seed: int,
    seeds: int,
    cache: Path,
    text_encoder: Path,
    resume: bool,
    threads: int,
    device: str,
) -> None:
    """Train CBERL with selection on dev. Writes a checkpoint per seed to OUT/seed-N; `cberl evaluate` scores them."""
    set_threads(threads)
    for one in range(seed, seed + seeds):  # before hours of work
        require_new(out / f"seed-{one}" / "run.json", resume)
    chosen = load_recipe(recipe, settings)
    corpus = joined(detect(data, classes), [detect(one, classes) for one in also])
    training_data = prepare(corpus, [chosen.compose], cache, text_encoder, sources)
    results = []
    for one in range(seed, seed + seeds):
        results.append(_run(Run(chosen, one, out / f"seed-{one}", name, device), training_data, resume=resume))
        click.echo(json.dumps(asdict(results[-1])))
    best = max(results, key=lambda result: result.selection)
    score = mean(result.selection for result in results)
    click.echo(f"{seeds} seed(s), mean dev score {score:.2f}; best on dev: {best.checkpoint}")


def _run(run: Run, data: TrainingData, *, resume: bool) -> Result:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"seed {run.seed}", total=run.recipe.train.epochs)

        def show(epoch: Epoch) -> None:
            note = f"dev {epoch.dev_weighted_f1:.1f} weighted, {epoch.dev_macro_f1:.1f} macro"
            progress.update(task, completed=epoch.epoch, description=f"seed {run.seed}: {note}")

        return run_seed(run, data, resume=resume, report=show)

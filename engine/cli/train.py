"""`cberl train`"""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cberl.checkpoint import CheckpointError
from cberl.data.corpus import detect
from cberl.data.dialogue import DataError
from cberl.training.core.recipe import RecipeError, load_recipe, names
from cberl.training.core.runs import Material, Result, Run, Sources, prepare, run_seed
from cberl.training.core.train import Epoch, set_threads
from engine.cli.common import sentences
from engine.cli.device import trains_on
from engine.cli.text_encoder import trained_with


@click.command(
    "train",
    epilog=f"""\b
Examples:
  cberl train --data MELD --out runs/a                       one seed, the defaults
  cberl train real --data MELD --out runs/five --seeds 5     five seeds, the best on dev is named
  cberl train real --data MELD --out runs/five --seeds 5 --resume
  cberl train starter --data MELD --ravdess RAVDESS --fer2013 FER2013.npz --out runs/starter
  cberl train plain --data MELD --set train.focal_gamma=2 --set model.past=5
  cberl train real --data MY-FILMS --voices --faces --out runs/films
Recipes: {", ".join(names())}; or a .toml file of yours.
DATA is a folder with MELD, IEMOCAP, EmoryNLP or your own conversations: see docs/data.md.""",
)
@click.argument("recipe", required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--ravdess", type=click.Path(path_type=Path), help="RAVDESS's folder, if the recipe joins voices.")
@click.option("--fer2013", type=click.Path(path_type=Path), help="FER2013's .npz, if the recipe joins faces.")
@click.option("--voices", is_flag=True, help="Let the speech network hear the corpus's own recordings.")
@click.option("--faces", is_flag=True, help="Let the expression network see the corpus's own films.")
@click.option("--out", type=click.Path(path_type=Path), default="runs/cberl", show_default=True, help="Runs' folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Over the recipe; may be repeated.")
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one run each.")
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@trained_with
@click.option("--resume", is_flag=True, help="Go on where runs in --out were stopped.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
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
    """Train CBERL, chosen on dev. Each seed leaves a checkpoint in OUT/seed-N; `cberl evaluate` scores them."""
    set_threads(threads)
    with sentences(RecipeError, DataError, CheckpointError, FileNotFoundError, ValueError):
        chosen, corpus = load_recipe(recipe, settings), detect(data, classes)
        material = prepare(corpus, [chosen.compose], cache, text_encoder, Sources(voices, faces, ravdess, fer2013))
        results = []
        for one in range(seed, seed + seeds):
            results.append(_run(Run(chosen, one, out / f"seed-{one}", name, device), material, resume=resume))
            click.echo(json.dumps(asdict(results[-1])))
    best = max(results, key=lambda result: result.selection)
    score = mean(result.selection for result in results)
    click.echo(f"{seeds} seed(s), mean dev score {score:.2f}; best on dev: {best.checkpoint}")


def _run(run: Run, material: Material, *, resume: bool) -> Result:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"seed {run.seed}", total=run.recipe.train.epochs)

        def show(epoch: Epoch) -> None:
            note = f"dev {epoch.dev_weighted_f1:.1f} weighted, {epoch.dev_macro_f1:.1f} macro"
            progress.update(task, completed=epoch.epoch, description=f"seed {run.seed}: {note}")

        return run_seed(run, material, resume=resume, report=show)

"""`cberl train`"""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.data.corpus import Corpus, detect
from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet, fingerprint, widened
from cberl.training.augment import augment
from cberl.training.compose import compose
from cberl.training.corpus import TEXT_ENCODER, corpus_features, fitted_audio, text_fingerprint
from cberl.training.pools import composed_encoders, read_pools
from cberl.training.recipe import Recipe, RecipeError, load_recipe, names
from cberl.training.train import Epoch, Trainer, fit, set_threads
from engine.cli.common import sentences


@click.command(
    "train",
    epilog=f"""\b
Examples:
  cberl train --data MELD --out runs/a                       one seed, the defaults
  cberl train real --data MELD --out runs/five --seeds 5     five seeds, the best on dev is named
  cberl train real --data MELD --out runs/five --seeds 5 --resume
  cberl train starter --data MELD --ravdess RAVDESS --fer2013 FER2013.npz --out runs/starter
  cberl train plain --data MELD --set train.focal_gamma=2 --set model.past=5
Recipes: {", ".join(names())}; or a .toml file of yours.
DATA is a folder with MELD, IEMOCAP, EmoryNLP or your own conversations: see docs/data.md.""",
)
@click.argument("recipe", required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--ravdess", type=click.Path(path_type=Path), help="RAVDESS's folder, if the recipe joins voices.")
@click.option("--fer2013", type=click.Path(path_type=Path), help="FER2013's .npz, if the recipe joins faces.")
@click.option("--out", type=click.Path(path_type=Path), default="runs/cberl", show_default=True, help="Runs' folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Over the recipe; may be repeated.")
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one run each.")
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@click.option(
    "--text-encoder",
    type=click.Path(path_type=Path),
    default=TEXT_ENCODER,
    show_default="the one that comes along",
    help="Folder of the text encoder, as `cberl finetune-text` writes it.",
)
@click.option("--resume", is_flag=True, help="Go on where runs in --out were stopped.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
def command(
    recipe: str | None,
    data: Path,
    classes: int | None,
    ravdess: Path | None,
    fer2013: Path | None,
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
        pools = read_pools(chosen.compose, "train", corpus.labels, cache, ravdess, fer2013)
        plain = fitted_audio(corpus, cache)
        train, dev = (corpus_features(corpus, split, plain, cache, text_encoder) for split in ("train", "dev"))
        audio, visual = composed_encoders(plain, pools, chosen.compose, train)
        encoders = {
            "text": {"sha256": text_fingerprint(text_encoder)},
            "audio": asdict(audio),
            "visual": asdict(visual) if visual else None,
        }
        provenance = {
            "corpus": corpus.name,
            "data_sha256": fingerprint(*corpus.files),
            "compose": asdict(chosen.compose) if pools else None,
        }
        selections: dict[Path, float] = {}
        for one in range(seed, seed + seeds):
            folder = out / f"seed-{one}"
            composed = compose(train, pools, chosen.compose, audio, one)
            trainer, about = _trainer(chosen, corpus, composed, dev, one, device)
            _fit(trainer, folder, one, resume=resume)
            checkpoint = trainer.finish(name, encoders, provenance | about)
            checkpoint.save(folder)
            selections[folder] = _report(checkpoint, trainer, folder)
    best = max(selections, key=selections.__getitem__)
    click.echo(f"{seeds} seed(s), mean dev score {mean(selections.values()):.2f}; best on dev: {best}")


def _trainer(
    recipe: Recipe, corpus: Corpus, train: FeatureSet, dev: FeatureSet, seed: int, device: str
) -> tuple[Trainer, dict[str, Any]]:
    """A seed's training, on features augmented as the recipe says, and what a checkpoint should tell of that."""
    config, augmentation = recipe.for_corpus(train, corpus.labels, seed)
    features = augment(train, augmentation, len(corpus.labels))
    # Dev stays real: what is chosen and calibrated there owes nothing to what was joined.
    seen_as = widened(dev, config.model.modality_dims)
    return Trainer(config, features, seen_as, device), {"augment": asdict(augmentation)}


def _fit(trainer: Trainer, folder: Path, seed: int, *, resume: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"seed {seed}", total=trainer.config.epochs)

        def show(epoch: Epoch) -> None:
            note = f"dev {epoch.dev_weighted_f1:.1f} weighted, {epoch.dev_macro_f1:.1f} macro"
            progress.update(task, completed=epoch.epoch, description=f"seed {seed}: {note}")

        fit(trainer, folder, resume=resume, report=show)


def _report(checkpoint: Checkpoint, trainer: Trainer, folder: Path) -> float:
    scores = trainer.dev_scores()
    click.echo(
        json.dumps(
            {
                "checkpoint": str(folder),
                "epochs": trainer.epoch,
                "dev_weighted_f1": round(scores.weighted_f1, 2),
                "dev_macro_f1": round(scores.macro_f1, 2),
                "tau": checkpoint.calibration.tau,
                "temperature": round(checkpoint.calibration.temperature, 3),
            }
        )
    )
    return scores.selection

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
from cberl.config import ModelConfig, TrainConfig
from cberl.data.dialogue import DataError
from cberl.data.meld import read_meld
from cberl.training.corpus import data_fingerprint, fit_audio, meld_features, text_fingerprint
from cberl.training.train import Epoch, Trainer, fit, set_threads
from engine.cli.common import sentences

_MODEL = ("latent_dim", "hidden_dim", "heads", "graph_layers", "past", "dropout", "skip")
_HELP = {
    "epochs": "Most epochs.",
    "patience": "Stop after so many epochs without a better dev score.",
    "batch_dialogues": "Dialogues a step.",
    "learning_rate": "Of AdamW.",
    "focal_gamma": "Gamma of the focal loss; 0 is cross-entropy.",
    "class_weight_power": "Class weights are frequency^-power.",
    "modality_dropout": "Chance that an utterance loses a modality.",
    "past": "P: utterances that the graph looks back.",
}


def _hyperparameters(command: Any) -> Any:
    defaults = asdict(TrainConfig()) | asdict(ModelConfig())
    for name in reversed(_HELP):
        command = click.option(
            "--" + name.replace("_", "-"),
            type=type(defaults[name]),
            default=defaults[name],
            show_default=True,
            help=_HELP[name],
        )(command)
    return command


@click.command(
    "train",
    epilog="""\b
Examples:
  cberl train --data MELD --out runs/a                  one seed
  cberl train --data MELD --out runs/five --seeds 5     five, the best on dev is named
  cberl train --data MELD --out runs/five --seeds 5 --resume
DATA holds MELD's train/dev/test_sent_emo.csv and, for the audio modality, text_prosody.jsonl.gz.""",
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with MELD's CSV files.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="runs/cberl", show_default=True, help="Folder for runs."
)
@click.option("--name", default="cberl", show_default=True, help="Name that events carry as `model`.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one run each.")
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@click.option("--resume", is_flag=True, help="Go on where runs in --out were stopped.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@_hyperparameters
def command(
    data: Path,
    out: Path,
    name: str,
    seed: int,
    seeds: int,
    cache: Path,
    resume: bool,
    threads: int,
    device: str,
    **values: Any,
) -> None:
    """Train CBERL on MELD, chosen on dev. Each seed leaves a checkpoint in OUT/seed-N; `cberl evaluate` scores them."""
    set_threads(threads)
    console = Console(stderr=True)
    with sentences(DataError, CheckpointError, FileNotFoundError, ValueError):
        audio = fit_audio(read_meld(data, "train"))
        train, dev = (meld_features(data, split, audio, cache) for split in ("train", "dev"))
        encoders = {"text": {"sha256": text_fingerprint()}, "audio": asdict(audio), "visual": None}
        provenance = {"corpus": "MELD", "data_sha256": data_fingerprint(data)}
        selections: dict[Path, float] = {}
        for one in range(seed, seed + seeds):
            config = _config(values, one, train.x["text"].shape[1], train.x["audio"].shape[1])
            trainer = Trainer(config, train, dev, device)
            folder = out / f"seed-{one}"
            _fit(trainer, folder, one, resume=resume, console=console)
            checkpoint = trainer.finish(name, encoders, provenance)
            checkpoint.save(folder)
            selections[folder] = _report(checkpoint, trainer, folder)
    best = max(selections, key=selections.__getitem__)
    click.echo(f"{seeds} seed(s), mean dev score {mean(selections.values()):.2f}; best on dev: {best}")


def _config(values: dict[str, Any], seed: int, text_dim: int, audio_dim: int) -> TrainConfig:
    model = {name: value for name, value in values.items() if name in _MODEL}
    training = {name: value for name, value in values.items() if name not in _MODEL}
    return TrainConfig(**training, seed=seed, model=ModelConfig(text_dim=text_dim, audio_dim=audio_dim, **model))


def _fit(trainer: Trainer, folder: Path, seed: int, *, resume: bool, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
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

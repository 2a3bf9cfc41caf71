"""`cberl train-encoder`"""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cberl.training.core.train import set_threads
from cberl.training.encoders.export import export_expression, export_speech
from cberl.training.encoders.expression import ExpressionTraining, train_expression
from cberl.training.encoders.speech import SpeechTraining, train_speech


@click.command(
    "train-encoder",
    epilog="""\b
Examples:
  cberl train-encoder speech --data RAVDESS --out runs/speech
  cberl train-encoder expression --data fer2013_jpeg.npz --out runs/expression
The same command continues a run that was stopped. Needs: pip install 'cberl-engine[train]'.""",
)
@click.argument("kind", type=click.Choice(["speech", "expression"]))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="RAVDESS's folder, or FER2013's .npz.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the run.  [default: runs/KIND]")
@click.option("--epochs", type=click.IntRange(min=1), help="[default: 40 for speech, 20 for expression]")
@click.option(
    "--learning-rate", type=float, help="Peak learning rate.  [default: 0.002 for speech, 0.1 for expression]"
)
@click.option("--begin-with", type=click.Path(path_type=Path), help="best.pt of another expression run to start from.")
@click.option("--refit", is_flag=True, help="Speech, once its settings are chosen: train on the dev speakers as well.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
def command(
    kind: str,
    data: Path,
    out: Path | None,
    epochs: int | None,
    learning_rate: float | None,
    begin_with: Path | None,
    refit: bool,
    seed: int,
    threads: int,
) -> None:
    """Train the speech emotion network (RAVDESS) or the expression network (FER2013), and export it to OUT/onnx."""
    logging.basicConfig(level="INFO", format="%(message)s")
    set_threads(threads)
    out = out or Path("runs") / kind
    if (begin_with is not None and kind == "speech") or (refit and kind == "expression"):
        raise click.UsageError("--begin-with is for expression only, --refit for speech only")
    wanted = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if kind == "speech":
        scores = train_speech(data, out, replace(SpeechTraining(), refit=refit, **changes))
        size_mb = export_speech(out / "best.pt", out / "onnx", scores)
    else:
        scores = train_expression(data, out, replace(ExpressionTraining(), **changes), begin_with)
        size_mb = export_expression(out / "best.pt", out / "onnx", scores)
    click.echo(json.dumps(scores))
    click.echo(f"{out / 'onnx'}: {size_mb:.1f} MB", err=True)

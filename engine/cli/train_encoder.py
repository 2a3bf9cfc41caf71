"""`cberl train-encoder`"""

import json
import logging
from dataclasses import replace
from pathlib import Path

import click

from cberl.training.core.train import set_threads
from cberl.training.encoders.export import export_expression
from cberl.training.encoders.expression import ExpressionTraining, train_expression
from cberl.training.encoders.speech import SpeechData, SpeechTraining, train_speech

_PATH = click.Path(path_type=Path)


@click.group("train-encoder")
def command() -> None:
    """Train the networks that read voices (speech) or faces (expression), and export them to OUT/onnx.

    The same command continues a run that was stopped. Needs: pip install 'cberl-engine[train]'.
    """
    logging.basicConfig(level="INFO", format="%(message)s")


@command.command(
    epilog="""\b
Examples:
  cberl train-encoder speech --data RAVDESS --tess TESS --vocal VOCAL --noise NOISE --whisper model.safetensors""",
)
@click.option("--data", type=_PATH, required=True, help="RAVDESS's folder: 03-01-*.flac or .wav.")
@click.option("--tess", type=_PATH, required=True, help="TESS's folder: OAF_word_angry.opus or .wav.")
@click.option(
    "--vocal", type=_PATH, required=True, help="Folder of vocalisations with an index.jsonl; see docs/data.md."
)
@click.option("--noise", type=_PATH, required=True, help="Folder of sounds in which nobody speaks.")
@click.option("--whisper", type=_PATH, required=True, help="model.safetensors of openai/whisper-tiny.en.")
@click.option("--out", type=_PATH, default=Path("runs/speech"), show_default=True, help="Folder for the run.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
def speech(data: Path, tess: Path, vocal: Path, noise: Path, whisper: Path, out: Path, threads: int) -> None:
    """Speech emotion and vocal events, from the first layers of Whisper's encoder."""
    set_threads(threads)
    click.echo(json.dumps(train_speech(SpeechData(data, tess, vocal, noise, whisper), out, SpeechTraining())))
    _tell_size(out / "onnx")


@command.command(
    epilog="""\b
Examples:
  cberl train-encoder expression --data fer2013_jpeg.npz --out runs/expression""",
)
@click.option("--data", type=_PATH, required=True, help="FER2013's .npz.")
@click.option("--out", type=_PATH, default=Path("runs/expression"), show_default=True, help="Folder for the run.")
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--learning-rate", type=float, default=0.1, show_default=True, help="Peak learning rate.")
@click.option("--begin-with", type=_PATH, help="best.pt of another run to start from.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
def expression(
    data: Path,
    out: Path,
    epochs: int,
    learning_rate: float,
    begin_with: Path | None,
    seed: int,
    threads: int,
) -> None:
    """Facial expression, on FER2013."""
    set_threads(threads)
    config = replace(ExpressionTraining(), epochs=epochs, learning_rate=learning_rate, seed=seed)
    scores = train_expression(data, out, config, begin_with)
    export_expression(out / "best.pt", out / "onnx", scores)
    click.echo(json.dumps(scores))
    _tell_size(out / "onnx")


def _tell_size(folder: Path) -> None:
    size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    click.echo(f"{folder}: {size_mb:.1f} MB", err=True)

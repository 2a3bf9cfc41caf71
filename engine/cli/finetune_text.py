"""`cberl finetune-text`"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import click

from cberl.data.dialogue import DataError
from cberl.training.export_text import export
from cberl.training.text_encoder import TextTraining, finetune
from cberl.training.train import set_threads
from engine.cli.common import sentences

DEFAULTS = TextTraining()


@click.command(
    "finetune-text",
    epilog="""\b
Examples:
  cberl finetune-text --data MELD --out runs/text
  cberl finetune-text --data MELD --out runs/text --export-epoch 3
On two cores an epoch on MELD takes about five minutes. Needs: pip install 'cberl-engine[train]'.""",
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with MELD's CSV files.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="runs/text", show_default=True, help="Folder for the run."
)
@click.option("--epochs", default=DEFAULTS.epochs, show_default=True)
@click.option("--learning-rate", default=DEFAULTS.learning_rate, show_default=True)
@click.option("--class-weight-power", default=DEFAULTS.class_weight_power, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@click.option("--export-epoch", type=int, help="Train nothing; export this epoch of an earlier run.")
def command(
    data: Path,
    out: Path,
    epochs: int,
    learning_rate: float,
    class_weight_power: float,
    seed: int,
    threads: int,
    export_epoch: int | None,
) -> None:
    """Fine-tune MiniLM on MELD with past turns in its input, and export the epoch that is best on dev to OUT/onnx.

    An earlier epoch may serve CBERL better: it is less sure of what it was trained on. Compare on dev.
    """
    logging.basicConfig(level="INFO", format="%(message)s")
    set_threads(threads)
    config = TextTraining(epochs=epochs, learning_rate=learning_rate, class_weight_power=class_weight_power, seed=seed)
    with sentences(DataError, FileNotFoundError, ModuleNotFoundError):
        if export_epoch is None:
            export_epoch, scores = finetune(data, out, config)
            click.echo(json.dumps({"config": asdict(config), "epoch": export_epoch, "dev": scores.as_dict()}))
        sizes = export(out / f"epoch-{export_epoch}.pt", out / "onnx")
    click.echo(f"{out / 'onnx'}: {sizes['int8_mb']:.1f} MB (float32: {sizes['float32_mb']:.1f} MB)")

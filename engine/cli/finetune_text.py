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
  cberl finetune-text --data MELD --out runs/text --export-only
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
@click.option("--export-only", is_flag=True, help="Only export OUT/best.pt again.")
def command(
    data: Path,
    out: Path,
    epochs: int,
    learning_rate: float,
    class_weight_power: float,
    seed: int,
    threads: int,
    export_only: bool,
) -> None:
    """Fine-tune MiniLM on MELD with past turns in its input, keep the best epoch on dev, export it to OUT/onnx."""
    logging.basicConfig(level="INFO", format="%(message)s")
    set_threads(threads)
    config = TextTraining(epochs=epochs, learning_rate=learning_rate, class_weight_power=class_weight_power, seed=seed)
    with sentences(DataError, FileNotFoundError, ModuleNotFoundError):
        if not export_only:
            scores = finetune(data, out, config)
            click.echo(json.dumps({"config": asdict(config), "dev": scores.as_dict()}))
        sizes = export(out / "best.pt", out / "onnx")
    click.echo(f"{out / 'onnx'}: {sizes['int8_mb']:.1f} MB (float32: {sizes['float32_mb']:.1f} MB)")

"""`cberl evaluate`"""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cberl.checkpoint import STARTER, load_checkpoint
from cberl.data.corpus import detect
from cberl.evaluation.evaluate import evaluate, features_for, summary
from cberl.evaluation.report.plots import plot_confusion
from cberl.metrics import Scores
from engine.cli.sources import face_detector
from engine.cli.text_encoder import scored_with


@click.command(
    "evaluate",
    epilog="""\b
Examples:
  cberl evaluate --data MELD                            the starter checkpoint on test
  cberl evaluate runs/a/seed-0 --data MELD --split dev
  cberl evaluate runs/five/seed-* --data MELD           mean and sd over seeds
  cberl evaluate --data MELD --json --plot confusion.png""",
)
@click.argument("checkpoints", nargs=-1, type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with a corpus; see docs/data.md.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="test", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the confusion matrix as PNG.")
@face_detector
@scored_with
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
def command(
    checkpoints: tuple[Path, ...],
    data: Path,
    classes: int | None,
    split: str,
    as_json: bool,
    plot: Path | None,
    face_detector: Path | None,
    text_encoders: tuple[Path, ...],
    cache: Path,
) -> None:
    """Score CHECKPOINTS (default: the starter): weighted and macro F1, F1 by class, confusion matrix, calibration."""
    corpus = detect(data, classes)
    runs = []
    for folder in checkpoints or (STARTER,):
        checkpoint = load_checkpoint(folder)
        features = features_for(checkpoint, corpus, split, cache, text_encoders, face_detector)
        runs.append(evaluate(checkpoint, features))
    if plot:
        plot_confusion(runs[0][0], plot)
    if as_json:
        scores, ece = runs[0]
        body = scores.as_dict() | {"ece": round(100 * ece, 2)} if len(runs) == 1 else summary(runs)
        click.echo(json.dumps({"split": split, **body}))
    else:
        _show(runs, split)


def _show(runs: list[tuple[Scores, float]], split: str) -> None:
    totals = summary(runs)
    console = Console()
    table = Table(title=f"{split}, {len(runs)} checkpoint(s), percent")
    for heading in ("", "F1", "sd"):
        table.add_column(heading, justify="right" if heading else "left")
    by_class = totals["f1"]
    assert isinstance(by_class, dict)
    rows = {"weighted F1": totals["weighted_f1"], "macro F1": totals["macro_f1"], "accuracy": totals["accuracy"]}
    rows |= {"calibration error": totals["ece"]}
    for name, spread in {**rows, **by_class}.items():
        assert isinstance(spread, dict)
        table.add_row(name, f"{spread['mean']:.2f}", f"{spread['sd']:.2f}")
    console.print(table)
    _show_confusion(runs[0][0], console)


def _show_confusion(scores: Scores, console: Console) -> None:
    table = Table(title="rows: labelled, columns: predicted (first checkpoint)")
    table.add_column("")
    for label in scores.labels:
        table.add_column(label, justify="right")
    for label, row in zip(scores.labels, scores.confusion, strict=True):
        table.add_row(label, *(str(count) for count in row))
    console.print(table)

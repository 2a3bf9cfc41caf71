"""`cberl report`"""

from pathlib import Path
from typing import Any

import click

from cberl.checkpoint import CheckpointError, load_checkpoint
from cberl.data.corpus import detect
from cberl.data.dialogue import DataError
from cberl.training.compare import Group, difference, measure
from cberl.training.evaluate import features_for
from cberl.training.report import write_report
from cberl.training.train import set_threads
from engine.cli.common import sentences


@click.command(
    "report",
    epilog="""\b
Examples:
  cberl report runs/starter runs/plain --data MELD                 docs/report.md, on dev
  cberl report runs/starter --data MELD --split test --out out/test
Each GROUP is a folder of `cberl train --seeds N`; the others are compared with the first.""",
)
@click.argument("groups", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--split", type=click.Choice(["dev", "test"]), default="dev", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default="docs/report", show_default=True, help="Without suffix."
)
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
def command(
    groups: tuple[Path, ...], data: Path, classes: int | None, split: str, out: Path, cache: Path, threads: int
) -> None:
    """Compare groups of runs: one page with tables and plots, and every figure as JSON."""
    set_threads(threads)
    with sentences(DataError, CheckpointError, FileNotFoundError):
        corpus = detect(data, classes)
        loaded = [_load(folder) for folder in groups]
        rows: list[dict[str, Any]] = []
        for group in loaded:
            features = features_for(group.checkpoints[0], corpus, split, cache)
            against = difference(group, loaded[0], features) if group is not loaded[0] else None
            rows.append(measure(group, features) | ({"against_first": against} if against else {}))
    names = " ".join(folder.name for folder in groups)
    write_report(
        {
            "command": f"cberl report {names} --split {split}",
            "corpus": corpus.name,
            "split": split,
            "labels": list(corpus.labels),
            "groups": rows,
        },
        out,
    )
    click.echo(f"{out}.md")


def _load(folder: Path) -> Group:
    seeds = sorted(folder.glob("seed-*"))
    if not seeds:
        raise CheckpointError(f"{folder} holds no seed-N: give a folder that `cberl train --seeds N` wrote")
    return Group(folder.name, [load_checkpoint(seed) for seed in seeds])

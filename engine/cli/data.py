"""`cberl data`"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cberl.data import own
from cberl.data.check import Report, Summary, check, check_own
from cberl.data.corpus import Corpus, detect
from cberl.data.dialogue import SPLITS, DataError
from cberl.data.features import FeatureSet, save_features
from cberl.data.sample import make_sample
from cberl.data.sdt import read_sdt
from cberl.training.features.clip_encoders import with_face
from cberl.training.features.corpus import corpus_features, fitted_audio, require_clips, text_fingerprint
from engine.cli.common import sentences

_FOLDER = click.argument("folder", type=click.Path(path_type=Path))
_CLASSES = click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")


@click.group("data")
def command() -> None:
    """Corpora: what a folder holds, what is wrong with it, and its features. docs/data.md tells the layouts."""


@command.command(
    "check",
    epilog="""\b
Examples:
  cberl data check my-calls           your own data: every problem by file and line
  cberl data check MELD --json        counts as JSON
Ends with 1 if anything is wrong.""",
)
@_FOLDER
@_CLASSES
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def check_command(folder: Path, classes: int | None, as_json: bool) -> None:
    """Read all of FOLDER and tell every problem; then counts by split and class."""
    with sentences(DataError):
        mine = folder.is_dir() and ((folder / own.HEADER).is_file() or bool(own.files(folder)))
        report = check_own(folder) if mine else check(detect(folder, classes))
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        _show(report)
    if report.problems:
        raise click.exceptions.Exit(1)


@command.command(
    "sample",
    epilog="""\b
Examples:
  cberl data sample runs/sample
  cberl train smoke --data runs/sample --out runs/smoke""",
)
@_FOLDER
def sample_command(folder: Path) -> None:
    """Write a small made-up corpus into FOLDER: to try training on, and to see the layout of your own data."""
    with sentences(FileExistsError):
        make_sample(folder)
    click.echo(f"{folder}: look at it with `cberl data check {folder}`")


@command.command(
    "features",
    epilog="""\b
Examples:
  cberl data features MELD --out features/meld.safetensors
  cberl data features iemocap_multi_features.pkl --out features/sdt.safetensors
Writes a file a split: meld.train.safetensors, meld.dev.safetensors, meld.test.safetensors. Clips that were
described before are not described again: a run that was stopped goes on.""",
)
@_FOLDER
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Files' name; the split is put into it.")
@click.option("--split", "wanted", type=click.Choice(SPLITS), multiple=True, help="Only this one (may be repeated).")
@_CLASSES
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Described clips.")
@click.option("--voices", is_flag=True, help="Beside prosody, what the speech network hears.")
@click.option("--faces", is_flag=True, help="What the expression network sees.")
@click.option("--processes", default=os.cpu_count() or 1, show_default="cores", help="That describe clips.")
def features_command(
    folder: Path,
    out: Path,
    wanted: tuple[str, ...],
    classes: int | None,
    cache: Path,
    voices: bool,
    faces: bool,
    processes: int,
) -> None:
    """Encode FOLDER's utterances as the live engine would; or take over a published feature pickle."""
    with sentences(DataError, FileNotFoundError):
        if folder.is_file():
            labels, sets = read_sdt(folder)
            for split in wanted or sets:
                if split not in sets:
                    raise DataError(f"{folder} has no {split} split")
                _save(sets[split], out, split, {"corpus": folder.name, "labels": json.dumps(labels)})
        else:
            _encode(detect(folder, classes), out, wanted, cache, voices, faces, processes)


def _encode(
    corpus: Corpus, out: Path, wanted: tuple[str, ...], cache: Path, voices: bool, faces: bool, processes: int
) -> None:
    # Audio is normalised by the training split's mean and spread, whatever split is wanted.
    audio = fitted_audio(corpus, cache, voices=voices, processes=processes)
    visual = with_face() if faces else None
    about = {
        "corpus": corpus.name,
        "labels": json.dumps(corpus.labels),
        "text_sha256": text_fingerprint(),
        "audio": json.dumps(asdict(audio)),
        "visual": json.dumps(asdict(visual) if visual else None),
    }
    for split in wanted or corpus.splits:
        if faces:
            require_clips(corpus, split, "faces")
        _save(corpus_features(corpus, split, audio, cache, visual=visual, processes=processes), out, split, about)


def _save(features: FeatureSet, out: Path, split: str, about: dict[str, str]) -> None:
    path = out.with_name(f"{out.stem}.{split}{out.suffix or '.safetensors'}")
    save_features(features, path, about | {"split": split})
    there = ", ".join(f"{int(has.sum())} with {name}" for name, has in features.present.items())
    click.echo(f"{path}: {len(features.label)} utterances in {len(features.lengths)} conversations, {there}")


def _show(report: Report) -> None:
    for problem in report.problems:
        click.echo(str(problem))
    for warning in report.warnings:
        click.echo(f"note: {warning}")
    if report.splits:
        Console().print(_table(report))
    count = len(report.problems)
    click.echo(f"{report.name}: {count} problem{'s' * (count != 1)}" if count else f"{report.name}: nothing is wrong")


def _table(report: Report) -> Table:
    table = Table(title=report.name)
    table.add_column("")
    for split in report.splits:
        table.add_column(split, justify="right")
    columns = [_column(summary) for summary in report.splits.values()]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(summary: Summary) -> dict[str, str]:
    def share(count: int) -> str:
        return f"{count} ({100 * count / max(summary.utterances, 1):.1f} %)"

    return {
        "conversations": str(summary.conversations),
        "utterances": str(summary.utterances),
        **{label: share(count) for label, count in summary.classes.items()},
        "unlabelled": share(summary.unlabelled),
        "overlapping the one before": share(summary.overlapping),
        "without text": share(summary.without_text),
        "without audio": share(summary.without_audio),
        "speech": f"{summary.speech_s / 3600:.2f} h",
        "longest utterance": f"{summary.longest_s:g} s",
    }

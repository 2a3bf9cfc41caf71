"""`cberl data`"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cberl.data import own
from cberl.data.check import Report, Summary, check, check_own, overlaps
from cberl.data.corpus import Corpus, detect
from cberl.data.dialogue import SPLITS, DataError
from cberl.data.features import FeatureSet, save_features
from cberl.data.sample import make_sample
from cberl.data.sdt import read_sdt
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import bundled_visual_config
from cberl.training.features.corpus import corpus_features, fitted_audio, require_clips, text_fingerprint
from engine.cli.sources import face_detector, faces, speech_emotion

_FOLDER = click.argument("folder", type=click.Path(path_type=Path))
_CORPUS = click.argument("corpus", type=click.Path(path_type=Path))
_CLASSES = click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")


@click.group("data")
def command() -> None:
    """Check a corpus, or compute its features. docs/data.md describes the layouts."""


@command.command(
    "check",
    epilog="""\b
Examples:
  cberl data check my-calls           your own data: every problem by file and line
  cberl data check MELD --json        counts as JSON
  cberl data check goemotions.jsonl.gz --against MELD     how much of it MELD's dev and test have, too
The exit status is 1 if there is any problem.""",
)
@_CORPUS
@_CLASSES
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another corpus, whose dev and test must not be trained on; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def check_command(corpus: Path, classes: int | None, against: tuple[Path, ...], as_json: bool) -> None:
    """Read all of CORPUS, a folder or a .jsonl.gz of labelled text. Prints every problem, then counts."""
    mine = corpus.is_dir() and ((corpus / own.HEADER).is_file() or bool(own.files(corpus)))
    report = check_own(corpus) if mine else check(detect(corpus, classes))
    if against and not report.problems:
        report.warnings += overlaps(detect(corpus, classes), [detect(other) for other in against])
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
    """Write a small synthetic corpus to FOLDER, to try the commands with and as an example of the layout."""
    make_sample(folder)
    click.echo(f"{folder}: check it with `cberl data check {folder}`")


@command.command(
    "features",
    epilog="""\b
Examples:
  cberl data features MELD --out features/meld.safetensors
  cberl data features iemocap_multi_features.pkl --out features/sdt.safetensors
  RAY_ADDRESS=10.0.0.1:6379 cberl data features MELD --out features/meld.safetensors --backend ray
Writes one file per split: meld.train.safetensors, meld.dev.safetensors, meld.test.safetensors. Features of
clips are kept in the cache, so that the same command continues a run that was stopped.""",
)
@_FOLDER
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Name of the files; the split is inserted.")
@click.option("--split", "wanted", type=click.Choice(SPLITS), multiple=True, help="Only this split; may be repeated.")
@_CLASSES
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Features of clips.")
@speech_emotion
@faces
@face_detector
@click.option("--processes", default=os.cpu_count() or 1, show_default="cores", help="Processes for clips.")
@click.option(
    "--backend",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Where clips are encoded: ray is the cluster that RAY_ADDRESS names, or this machine.",
)
def features_command(
    folder: Path,
    out: Path,
    wanted: tuple[str, ...],
    classes: int | None,
    cache: Path,
    speech_emotion: bool,
    faces: bool,
    face_detector: Path | None,
    processes: int,
    backend: str,
) -> None:
    """Encode FOLDER's utterances with the encoders of the live engine; or convert a published feature pickle."""
    if folder.is_file():
        labels, sets = read_sdt(folder)
        for split in wanted or sets:
            if split not in sets:
                raise DataError(f"{folder} has no {split} split")
            _save(sets[split], out, split, {"corpus": folder.name, "labels": json.dumps(labels)})
    else:
        corpus = detect(folder, classes)
        # Audio is normalised by mean and sd of the training split, for every split.
        on_ray = backend == "ray"
        audio = fitted_audio(corpus, cache, speech_emotion=speech_emotion, processes=processes, on_ray=on_ray)
        _encode(corpus, out, wanted, cache, audio, faces, face_detector, processes, on_ray)


def _encode(
    corpus: Corpus,
    out: Path,
    wanted: tuple[str, ...],
    cache: Path,
    audio: AudioEncoderConfig,
    faces: bool,
    face_detector: Path | None,
    processes: int,
    on_ray: bool,
) -> None:
    visual = bundled_visual_config() if faces else None
    about = {
        "corpus": corpus.name,
        "labels": json.dumps(corpus.labels),
        "text_sha256": text_fingerprint(),
        "audio": json.dumps(asdict(audio)),
        "visual": json.dumps(asdict(visual) if visual else None),
    }
    for split in wanted or corpus.splits:
        if faces:
            require_clips(corpus, split)
        features = corpus_features(
            corpus,
            split,
            audio,
            cache,
            visual=visual,
            processes=processes,
            face_detector=face_detector,
            on_ray=on_ray,
        )
        _save(features, out, split, about)


def _save(features: FeatureSet, out: Path, split: str, about: dict[str, str]) -> None:
    path = out.with_name(f"{out.stem}.{split}{out.suffix or '.safetensors'}")
    save_features(features, path, about | {"split": split})
    counts = ", ".join(f"{int(has.sum())} with {name}" for name, has in features.present.items())
    click.echo(f"{path}: {len(features.label)} utterances in {len(features.lengths)} conversations, {counts}")


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
        "several labels": share(summary.several_labels),
        "unlabelled": share(summary.unlabelled),
        "overlapping the one before": share(summary.overlapping),
        "without text": share(summary.without_text),
        "without audio": share(summary.without_audio),
        "speech": f"{summary.speech_s / 3600:.2f} h",
        "longest utterance": f"{summary.longest_s:g} s",
    }

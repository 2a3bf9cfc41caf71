"""`cberl finetune-text`"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import click

from cberl.data.corpus import Corpus, detect
from cberl.data.overlap import held_out_of, without_overlap
from cberl.metrics import Scores
from cberl.training.core.train import set_threads
from cberl.training.text.checkpoint import TextTraining
from cberl.training.text.export import cost, export
from cberl.training.text.finetune import average, finetune
from cberl.training.text.restore import restore
from cberl.training.text.task import Task
from engine.cli.device import trains_on

DEFAULTS = TextTraining()
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(
    "finetune-text",
    epilog="""\b
Examples:
  cberl finetune-text --data MELD --out runs/text
  cberl finetune-text --data MELD --also EMORYNLP --out runs/two
  cberl finetune-text --data MELD --also xed_en.jsonl.gz --also goemotions.jsonl.gz --class-cap 2500 --out runs/many
  cberl finetune-text --data MELD --start runs/two/epoch-2.pt --seed 1 --out runs/text-1
  cberl finetune-text --data MELD --average runs/text-0/epoch-3.pt --average runs/text-1/epoch-3.pt --out runs/mean
  cberl finetune-text --data MELD --base sentence-transformers/all-mpnet-base-v2 --learning-rate 3e-5 --out runs/large
  cberl finetune-text --data MELD --also EMORYNLP --teacher runs/large/epoch-2.pt --out runs/student
  cberl finetune-text --data MELD --export runs/text/epoch-3.pt --out runs/text
  cberl finetune-text --data MELD --restore cberl/weights/text --out runs/bundled
An epoch on MELD takes about five minutes on two cores, fifteen with an encoder of 110 million parameters.
Needs: pip install 'cberl-engine[train]'.""",
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder with a corpus; its dev chooses the epoch.")
@click.option(
    "--also",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another corpus, a folder or .jsonl.gz, to train on with its own labels; without overlap with dev and test.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="runs/text", show_default=True, help="Folder for the run."
)
@click.option(
    "--base",
    default=DEFAULTS.base,
    show_default=True,
    help="The pretrained encoder: minilm (all-MiniLM-L6-v2), or the folder or hub id of one like BERT or RoBERTa.",
)
@click.option("--start", type=FILE, help="Start from this epoch-N.pt, without the heads of other corpora.")
@click.option("--epochs", default=DEFAULTS.epochs, show_default=True)
@click.option("--learning-rate", default=DEFAULTS.learning_rate, show_default=True)
@click.option("--class-weight-power", default=DEFAULTS.class_weight_power, show_default=True)
@click.option(
    "--class-cap",
    default=DEFAULTS.class_cap,
    show_default=True,
    help="Examples of a class per epoch and corpus, at most, other ones in each epoch; 0 = all.",
)
@click.option(
    "--votes-share",
    default=DEFAULTS.votes_share,
    show_default=True,
    help="Share of annotators' votes, where a corpus has them, in the target of a labelled utterance.",
)
@click.option(
    "--strip-punctuation",
    default=DEFAULTS.strip_punctuation,
    show_default=True,
    help="Share of inputs without case and punctuation, like an ASR transcript.",
)
@click.option(
    "--whisper-style",
    default=DEFAULTS.whisper_style,
    show_default=True,
    help="Share of inputs as Whisper would write them.",
)
@click.option(
    "--word-noise",
    default=DEFAULTS.word_noise,
    show_default=True,
    help="Highest word error rate of inputs without punctuation; half of it of those in Whisper's style.",
)
@click.option(
    "--teacher",
    "teachers",
    type=FILE,
    multiple=True,
    help="An epoch-N.pt whose probabilities are soft labels of --data; of several, the mean. "
    "They replace the labels of an --also with another label set.",
)
@click.option(
    "--teacher-share",
    default=DEFAULTS.teacher_share,
    show_default=True,
    help="Share of soft labels in the loss of a labelled utterance.",
)
@click.option("--past-turns", default=DEFAULTS.past_turns, show_default=True)
@click.option("--max-tokens", default=DEFAULTS.max_tokens, show_default=True)
@click.option("--seed", default=DEFAULTS.seed, show_default=True)
@click.option("--resume", is_flag=True, help="Continue the run in --out, if it was stopped.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@trains_on
@click.option(
    "--restore",
    "restored",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Train nothing; make OUT/restored.pt, to start from and to teach, of the exported encoder in this folder.",
)
@click.option("--average", "averaged", type=FILE, multiple=True, help="Train nothing; export the mean of these files.")
@click.option(
    "--export",
    "exported",
    type=FILE,
    help="Train nothing; export this epoch-N.pt. With --data, measure the loss from int8.",
)
def command(
    data: Path | None,
    also: tuple[Path, ...],
    out: Path,
    start: Path | None,
    teachers: tuple[Path, ...],
    resume: bool,
    threads: int,
    device: str,
    restored: Path | None,
    averaged: tuple[Path, ...],
    exported: Path | None,
    **settings: float | str,
) -> None:
    """Fine-tune a text encoder with past turns in its input, and export the epoch that is best on dev to OUT/onnx.

    An earlier epoch may be better for CBERL, as it is less confident on its training data. Compare on dev.
    """
    logging.basicConfig(level="INFO", format="%(message)s")
    set_threads(threads)
    config = TextTraining(**settings)  # type: ignore[arg-type]  # click converts each to the type of its default
    if data is None and exported is None:
        raise click.UsageError("--data, the folder with a corpus, is required")
    tasks = _tasks(detect(data), [detect(folder) for folder in also]) if data is not None else []
    if restored is not None and tasks:
        scores = restore(restored, tasks[0], out / "restored.pt")
        click.echo(f"{out / 'restored.pt'}: dev {_f1(scores)}")
        return
    if exported is None:
        if averaged:
            exported = out / "mean.pt"
            dev = {tasks[0].corpus: average(averaged, tasks[0], exported).as_dict()}
        else:
            epoch, found = finetune(tasks, out, config, start, teachers, device, resume=resume)
            exported = out / f"epoch-{epoch}.pt"
            dev = {corpus: scores.as_dict() for corpus, scores in found.items()}
        click.echo(json.dumps({"config": asdict(config), "file": exported.name, "dev": dev}))
    sizes = export(exported, out / "onnx")
    click.echo(f"{out / 'onnx'}: {sizes['int8_mb']:.1f} MB (float32: {sizes['float32_mb']:.1f} MB)")
    if tasks:
        full, int8 = cost(exported, out / "onnx", tasks[0])
        click.echo(f"dev as stored: {_f1(int8)} (float32: {_f1(full)})")


def _f1(scores: Scores) -> str:
    return f"weighted F1 {scores.weighted_f1:.2f}, macro F1 {scores.macro_f1:.2f}"


def _tasks(main: Corpus, others: list[Corpus]) -> list[Task]:
    """Train and dev of each corpus; train of the others without overlap with dev and test of any."""
    held_out = held_out_of(main, *others)
    tasks = [Task(main.name, main.labels, main.read("train"), main.read("dev"))]
    for other in others:
        train = other.read("train")
        kept = without_overlap(train, held_out)
        logging.info(
            "%s: %d of %d dialogues; the rest overlaps with dev or test of a corpus", other.name, len(kept), len(train)
        )
        tasks.append(Task(other.name, other.labels, kept, other.read("dev") if "dev" in other.splits else ()))
    return tasks

"""What teachers say of utterances, labelled or not, for a pupil to learn (Hinton et al. 2015, arXiv 1503.02531)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor

from cberl.data.dialogue import UNLABELLED
from cberl.data.features import fingerprint
from cberl.training.text.checkpoint import TextTraining, load, prompt_of
from cberl.training.text.classifier import Example, predict


def taught(rows: Sequence[Sequence[Example]], said: Tensor) -> list[Example]:
    """The examples of several corpora as one, each with what teachers `said`, (N, classes), of it.

    Only the first corpus keeps its labels: those of the others mean something else.
    """
    everything = [one for group in rows for one in group]
    return [
        replace(one, label=one.label if i < len(rows[0]) else UNLABELLED, taught=tuple(said[i].tolist()))
        for i, one in enumerate(everything)
    ]


def opinions(rows: Sequence[Example], corpus: str, teachers: Sequence[Path], device: str, kept: Path) -> Tensor:
    """The mean of the teachers' probabilities over the labels of `corpus`, (N, classes).

    Reading takes long, so they are kept in the folder `kept`, under a name that says whose they are and of what, and
    are read from there the next time. Raises `ValueError` when a teacher has no head for `corpus`.
    """
    of = hashlib.sha256(repr((corpus, rows)).encode()).hexdigest()
    file = kept / f"said-{fingerprint(*teachers)[:12]}-{of[:12]}.pt"
    if not file.is_file():
        said = torch.stack([_probabilities(rows, corpus, path, device) for path in teachers]).mean(0)
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        torch.save(said, unfinished)
        unfinished.replace(file)
    kept_said: Tensor = torch.load(file, weights_only=True)
    return kept_said


def _probabilities(rows: Sequence[Example], corpus: str, teacher: Path, device: str) -> Tensor:
    model, state, folder = load(teacher)
    if corpus not in model.classes:
        raise ValueError(f"{teacher} knows {', '.join(model.classes)}, not {corpus}: give a teacher trained on it")
    prompt = prompt_of(TextTraining(**state["config"]), folder)
    inputs = [prompt.build(one.past, one.speaker, one.text) for one in rows]
    with Progress() as progress:
        bar = progress.add_task("a teacher reads", total=len(inputs))
        logits = predict(model.to(device), corpus, inputs, advance=lambda count: progress.advance(bar, count))
    return logits.softmax(-1)

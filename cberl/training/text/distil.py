"""Knowledge distillation: class probabilities of teachers as soft labels (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import torch
from torch import Tensor

from cberl.data.dialogue import UNLABELLED
from cberl.errors import TrainingError
from cberl.progress import progress
from cberl.storage import cache_file, fingerprint, replacing
from cberl.training.text.checkpoint import TextTraining, load, prompt_of
from cberl.training.text.classifier import Example, predict


def with_soft_labels(rows: Sequence[Sequence[Example]], probabilities: Tensor) -> list[Example]:
    """The examples of several corpora as one list, with the teachers' probabilities, (N, classes), as soft labels.

    Only the first corpus keeps its own labels: the label sets of the others differ.
    """
    everything = [(one, group is rows[0]) for group in rows for one in group]
    kept = [one if first else replace(one, label=UNLABELLED, shares=()) for one, first in everything]
    return [replace(one, soft_labels=tuple(row)) for one, row in zip(kept, probabilities.tolist(), strict=True)]


def teacher_probabilities(
    rows: Sequence[Example], corpus: str, teachers: Sequence[Path], device: str, cache: Path
) -> Tensor:
    """The mean of the teachers' probabilities over the labels of `corpus`, (N, classes).

    They take long to compute, so they are kept in the folder `cache`, in a file named by teachers and rows. Raises
    `TrainingError` if a teacher has no head for `corpus`.
    """
    made_from = [fingerprint(*teachers), corpus, [astuple(one) for one in rows]]
    file = cache_file(cache, "teacher-probabilities", made_from, ".pt")
    if not file.is_file():
        mean = torch.stack([_probabilities(rows, corpus, path, device) for path in teachers]).mean(0)
        with replacing(file) as unfinished:
            torch.save(mean, unfinished)
    probabilities: Tensor = torch.load(file, weights_only=True)
    return probabilities


def _probabilities(rows: Sequence[Example], corpus: str, teacher: Path, device: str) -> Tensor:
    model, state, folder = load(teacher)
    if corpus not in model.classes:
        raise TrainingError(
            f"{teacher} has heads for {', '.join(model.classes)}, not {corpus}: use a teacher trained on it"
        )
    prompt = prompt_of(TextTraining(**state["config"]), folder)
    inputs = [prompt.build(one.past, one.speaker, one.text) for one in rows]
    with progress() as shown:
        bar = shown.add_task("teacher", total=len(inputs))
        logits = predict(model.to(device), corpus, inputs, advance=lambda count: shown.advance(bar, count))
    return logits.softmax(-1)

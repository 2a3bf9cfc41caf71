"""What teachers say of utterances, labelled or not, for a pupil to learn (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from rich.progress import Progress
from torch import Tensor

from cberl.data.dialogue import UNLABELLED
from cberl.encoders.text import TextPrompt
from cberl.training.text_encoder import Example, TextClassifier, predict

Teacher = tuple[TextClassifier, TextPrompt]


def taught(rows: Sequence[Sequence[Example]], corpus: str, teachers: Sequence[Teacher]) -> list[Example]:
    """The examples of several corpora as one, each with its teachers' mean probabilities over the labels of `corpus`.

    Only the first corpus keeps its labels: those of the others mean something else. Raises `ValueError` when a teacher
    has no head for `corpus`.
    """
    everything = [one for group in rows for one in group]
    said = torch.stack([_probabilities(everything, corpus, *teacher) for teacher in teachers]).mean(0)  # (N, classes)
    return [
        replace(one, label=one.label if i < len(rows[0]) else UNLABELLED, taught=tuple(said[i].tolist()))
        for i, one in enumerate(everything)
    ]


def _probabilities(rows: Sequence[Example], corpus: str, model: TextClassifier, prompt: TextPrompt) -> Tensor:
    if corpus not in model.classes:
        raise ValueError(f"a teacher knows {', '.join(model.classes)}, not {corpus}: give one trained on it")
    inputs = [prompt.build(one.past, one.speaker, one.text) for one in rows]
    with Progress() as progress:
        bar = progress.add_task("a teacher reads", total=len(inputs))
        logits = predict(model, corpus, inputs, advance=lambda count: progress.advance(bar, count))
    return logits.softmax(-1)

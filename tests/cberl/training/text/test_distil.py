"""Distillation: probabilities of teachers for labelled and unlabelled utterances, and a student trained on them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cberl.data.dialogue import Dialogue, Line
from cberl.errors import TrainingError
from cberl.metrics import score
from cberl.training.text.checkpoint import TextTraining, load, prompt_of, save
from cberl.training.text.classifier import MINILM, Example, TextClassifier, examples, load_base, predict
from cberl.training.text.distil import teacher_probabilities, with_soft_labels
from cberl.training.text.finetune import finetune
from cberl.training.text.task import Task

CONFIG = TextTraining(epochs=2, batch_size=4, learning_rate=3e-4, max_tokens=24, strip_punctuation=0.0, warmup=0.0)
SAID = ("great news", "go away", "so happy", "I hate it", "well done", "leave me alone")


def dialogues(labels: tuple[int, ...]) -> list[Dialogue]:
    lines = [Line("ab"[n % 2], text, labels[n], n, n + 1.0) for n, text in enumerate(SAID)]
    return [Dialogue("one", tuple(lines))]


def teacher(file: Path, corpus: str, bias: tuple[float, float]) -> Path:
    """It gives every utterance the same two logits."""
    encoder, _ = load_base(MINILM)
    model = TextClassifier(encoder, {corpus: 2})
    torch.nn.init.zeros_(model.heads[corpus].weight)
    with torch.no_grad():
        model.heads[corpus].bias.copy_(torch.tensor(bias))
    save(file, model, model.classes, CONFIG, 1, score(np.array([0, 1]), np.array([0, 1]), ("x", "y")))
    return file


def test_probabilities_of_teachers_are_averaged_and_cached(tmp_path: Path) -> None:
    rows = examples(dialogues((0, 1, 0, 1, 0, 1)), 3)
    teachers = [
        teacher(tmp_path / "a.pt", "first", (0.0, math.log(3))),
        teacher(tmp_path / "b.pt", "first", (0.0, 0.0)),
    ]
    mean = teacher_probabilities(rows, "first", teachers, "cpu", tmp_path / "out")
    assert mean.numpy() == pytest.approx(np.tile((0.375, 0.625), (6, 1)), abs=1e-3)  # of (1/4, 3/4) and (1/2, 1/2)
    (cached,) = (tmp_path / "out").iterdir()
    torch.save(mean + 1, cached)
    assert torch.equal(teacher_probabilities(rows, "first", teachers, "cpu", tmp_path / "out"), mean + 1)
    assert teacher_probabilities(rows[:4], "first", teachers, "cpu", tmp_path / "out").shape == (4, 2)
    assert not torch.equal(teacher_probabilities(rows, "first", teachers[:1], "cpu", tmp_path / "out"), mean + 1)


def test_only_the_first_corpus_keeps_its_labels() -> None:
    rows = [examples(dialogues((0, 1, 0, 1, 0, 1)), 3), examples(dialogues((5, 5, 5, 5, 5, 5)), 3)]
    found = with_soft_labels(rows, torch.arange(24.0).reshape(12, 2))
    assert [one.label for one in found] == [0, 1, 0, 1, 0, 1, -1, -1, -1, -1, -1, -1]
    assert [one.text for one in found] == [*SAID, *SAID]
    assert [one.soft_labels for one in found] == [(2.0 * n, 2.0 * n + 1) for n in range(12)]


def test_a_teacher_of_another_corpus_is_refused(tmp_path: Path) -> None:
    other = teacher(tmp_path / "other.pt", "second", (0.0, 0.0))
    with pytest.raises(TrainingError, match="has heads for second, not first"):
        teacher_probabilities([Example((), "a", "hello", 0)], "first", [other], "cpu", tmp_path)


def test_a_student_learns_its_teachers_probabilities_on_unlabelled_utterances(tmp_path: Path) -> None:
    labelled = Task("first", ("x", "y"), dialogues((0, 1, 0, 1, 0, 1)), dialogues((0, 1, 0, 1, 0, 1)))
    other = Task("second", ("p", "q", "r"), [Dialogue("talk", (Line("a", "the sun is out", 2, 0.0, 1.0),) * 12)])
    finetune([labelled], tmp_path / "alone", CONFIG)
    finetune(
        [labelled, other], tmp_path / "student", CONFIG, teachers=[teacher(tmp_path / "t.pt", "first", (2.0, 0.0))]
    )

    def cross_entropy(file: Path) -> float:
        """Cross-entropy with the teacher on the unlabelled line, in nats."""
        network, _, folder = load(file)
        logits = predict(network, "first", [prompt_of(CONFIG, folder).build((), "a", "the sun is out")])
        return float(F.cross_entropy(logits, torch.tensor([[2.0, 0.0]]).softmax(-1)))

    student, _, _ = load(tmp_path / "student" / "epoch-2.pt")
    assert student.classes == {"first": 2}
    (tmp_path / "again").mkdir()
    (cached,) = (tmp_path / "student").glob("teacher-probabilities-*")
    cached.rename(tmp_path / "again" / cached.name)
    finetune([labelled, other], tmp_path / "again", CONFIG, teachers=[tmp_path / "t.pt"])
    again, _, _ = load(tmp_path / "again" / "epoch-2.pt")
    assert all(torch.equal(one, other) for one, other in zip(student.parameters(), again.parameters(), strict=True))
    assert cross_entropy(tmp_path / "student" / "epoch-2.pt") < cross_entropy(tmp_path / "alone" / "epoch-2.pt") - 0.02

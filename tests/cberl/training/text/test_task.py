"""What an epoch of a corpus holds: caps of frequent classes, several labels at once, and votes."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cberl.data.dialogue import UNLABELLED, Dialogue, Line
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.encoders.text import TextPrompt
from cberl.training.text.checkpoint import TextTraining
from cberl.training.text.classifier import Example
from cberl.training.text.task import Task, TaskRun, training_examples

LABELS = ("x", "y", "z")


def corpus(*rows: tuple[str, int, tuple[float, ...] | None]) -> Task:
    """Dialogues of one turn."""
    return Task(
        "c",
        LABELS,
        [Dialogue(text, (Line("a", text, label, 0.0, 1.0, shares=shares),)) for text, label, shares in rows],
    )


@pytest.fixture(scope="module")
def prompt() -> TextPrompt:
    return TextPrompt(Tokenizer.from_file(str(TEXT_ENCODER / "tokenizer.json")), max_tokens=24, past_turns=1)


def test_votes_have_their_share_and_several_labels_hold_in_part() -> None:
    task = corpus(
        ("one", 0, None), ("two", 0, (0.2, 0.8, 0.0)), ("three", UNLABELLED, (0.0, 0.5, 0.5)), ("no", -1, None)
    )
    found = {one.text: one.shares for one in training_examples(task, TextTraining(votes_share=0.25))}
    assert found == {
        "one": (1, 0, 0),
        "two": pytest.approx((0.8, 0.2, 0.0)),
        "three": pytest.approx((0.0, 0.5, 0.5)),
    }


def test_frequent_classes_are_capped_with_other_examples_in_each_epoch(prompt: TextPrompt) -> None:
    """A line with two labels counts as the rarer one."""
    rows = [(f"often {n}", 0, None) for n in range(20)] + [("rare", 1, None), ("both", UNLABELLED, (0.5, 0.5, 0.0))]
    config = TextTraining(class_cap=4, batch_size=4, strip_punctuation=0.0)
    run = TaskRun(corpus(), training_examples(corpus(*rows), config), config)
    assert run.epoch_size == 6
    rng, seen = random.Random(0), Counter[float]()
    drawn = set()
    for _ in range(8):
        shares = torch.cat([batch.shares for batch in run.epoch(prompt, rng)])
        assert shares.sum(0).tolist() == [4.5, 1.5, 0.0]
        seen.update(shares[:, 0].tolist())
    for _ in range(8):
        drawn |= {tuple(row) for batch in run.epoch(prompt, rng) for row in batch.inputs[0].tolist()}
    assert seen == {1.0: 32, 0.5: 8, 0.0: 8}
    assert len(drawn) > 12  # of 22 inputs; 6 without other ones in each epoch


def test_the_loss_is_cross_entropy_with_labels_and_with_teachers(prompt: TextPrompt) -> None:
    """Without weights and smoothing, for a row with a label, one with shares, and one with neither."""
    config = TextTraining(class_weight_power=0.0, label_smoothing=0.0, teacher_share=0.25, strip_punctuation=0.0)
    soft = (0.1, 0.2, 0.7)
    rows = [
        Example((), "a", "one", 2, (0.0, 0.0, 1.0), soft),
        Example((), "a", "two", UNLABELLED, (0.5, 0.5, 0.0), soft),
        Example((), "a", "three", UNLABELLED, (), soft),
    ]
    run = TaskRun(corpus(), rows, config)
    (batch,) = run.epoch(prompt, random.Random(0))
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    labelled = batch.shares.sum(1) > 0
    hard = F.cross_entropy(logits[labelled], batch.shares[labelled])
    wanted = 0.75 * hard + 0.25 * F.cross_entropy(logits, torch.tensor([soft] * 3))
    torch.testing.assert_close(run.loss(logits, batch), wanted)


def test_a_corpus_without_any_label_is_no_error(prompt: TextPrompt, tmp_path: Path) -> None:
    run = TaskRun(corpus(), [Example((), "a", "one", UNLABELLED)], TextTraining())
    (batch,) = run.epoch(prompt, random.Random(0))
    assert run.loss(torch.zeros(1, 3), batch).item() == 0

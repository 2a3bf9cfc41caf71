"""Teachers: what they say of labelled and unlabelled utterances, and that a pupil learns it."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cberl.data.dialogue import Dialogue, Line
from cberl.encoders.text import TextPrompt
from cberl.training.distil import taught
from cberl.training.text_encoder import MINILM, Example, TextClassifier, examples, load_base, predict
from cberl.training.text_finetune import Task, TextTraining, finetune, load, prompt_of, save

CONFIG = TextTraining(epochs=2, batch_size=4, learning_rate=3e-4, max_tokens=24, strip_punctuation=0.0, warmup=0.0)
SAID = ("great news", "go away", "so happy", "I hate it", "well done", "leave me alone")


def dialogues(labels: tuple[int, ...]) -> list[Dialogue]:
    lines = [Line("ab"[n % 2], text, labels[n], n, n + 1.0) for n, text in enumerate(SAID)]
    return [Dialogue("one", tuple(lines))]


def teacher(corpus: str, bias: tuple[float, float]) -> tuple[TextClassifier, TextPrompt]:
    """It gives every utterance the same two logits."""
    encoder, folder = load_base(MINILM)
    model = TextClassifier(encoder, {corpus: 2})
    torch.nn.init.zeros_(model.heads[corpus].weight)
    with torch.no_grad():
        model.heads[corpus].bias.copy_(torch.tensor(bias))
    return model, prompt_of(CONFIG, folder)


def test_teachers_opinions_are_averaged_and_only_the_first_corpus_keeps_its_labels() -> None:
    rows = [examples(dialogues((0, 1, 0, 1, 0, 1)), 3), examples(dialogues((5, 5, 5, 5, 5, 5)), 3)]
    teachers = [teacher("first", (0.0, math.log(3))), teacher("first", (0.0, 0.0))]
    found = taught(rows, "first", teachers)
    assert [one.label for one in found] == [0, 1, 0, 1, 0, 1, -1, -1, -1, -1, -1, -1]
    assert [one.text for one in found] == [*SAID, *SAID]
    for one in found:
        assert one.taught == pytest.approx((0.375, 0.625), abs=1e-3)  # the mean of (1/4, 3/4) and (1/2, 1/2)


def test_a_teacher_of_another_corpus_is_refused() -> None:
    with pytest.raises(ValueError, match="knows second, not first"):
        taught([[Example((), "a", "hello", 0)]], "first", [teacher("second", (0.0, 0.0))])


def test_a_pupil_learns_from_unlabelled_talk_what_its_teacher_says(tmp_path: Path) -> None:
    labelled = Task("first", ("x", "y"), dialogues((0, 1, 0, 1, 0, 1)), dialogues((0, 1, 0, 1, 0, 1)))
    other = Task("second", ("p", "q", "r"), [Dialogue("talk", (Line("a", "the sun is out", 2, 0.0, 1.0),) * 12)])
    model, _ = teacher("first", (2.0, 0.0))
    _, scores = finetune([labelled], tmp_path / "untaught", CONFIG)
    save(tmp_path / "teacher.pt", model, model.classes, CONFIG, 1, scores)
    finetune([labelled, other], tmp_path / "pupil", CONFIG, teachers=[tmp_path / "teacher.pt"])

    def surprise(file: Path) -> float:
        """Cross-entropy with the teacher on the unlabelled line, in nats."""
        network, _, folder = load(file)
        logits = predict(network, "first", [prompt_of(CONFIG, folder).build((), "a", "the sun is out")])
        return float(F.cross_entropy(logits, torch.tensor([[2.0, 0.0]]).softmax(-1)))

    pupil, _, _ = load(tmp_path / "pupil" / "epoch-2.pt")
    assert pupil.classes == {"first": 2}
    assert surprise(tmp_path / "pupil" / "epoch-2.pt") < surprise(tmp_path / "untaught" / "epoch-2.pt") - 0.02

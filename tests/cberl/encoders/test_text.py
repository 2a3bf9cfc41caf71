"""The text encoder's input contains past turns only; vectors do not depend on the batch."""

from pathlib import Path

import numpy as np
import pytest

from cberl.checkpoint import WEIGHTS
from cberl.encoders.text import TextEncoder, TextHistory, TextPrompt
from cberl.errors import EncoderError


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(WEIGHTS / "text")


def words(prompt: TextPrompt, ids: list[int]) -> str:
    return prompt.tokenizer.decode(ids, skip_special_tokens=False)


def test_past_turns_are_marked_as_of_the_same_or_another_speaker(encoder: TextEncoder) -> None:
    past = [("bob", "too old"), ("ann", "hello"), ("bob", "go away"), ("ann", "why")]
    made = encoder.prompt.build(past, "ann", "I am sad")
    text = words(encoder.prompt, made.ids)
    assert text == "[CLS] same : hello [SEP] other : go away [SEP] same : why [SEP] i am sad [SEP]"
    assert (
        words(encoder.prompt, [i for i, kind in zip(made.ids, made.type_ids, strict=True) if kind]) == "i am sad [SEP]"
    )


def test_a_long_current_turn_takes_precedence_over_the_past(encoder: TextEncoder) -> None:
    prompt = TextPrompt(encoder.prompt.tokenizer, max_tokens=16, past_turns=3)
    made = prompt.build([("a", "one two three four"), ("b", "five six")], "a", "word " * 9)
    assert len(made.ids) <= 16
    assert "other : five six" in words(prompt, made.ids)
    assert "one two" not in words(prompt, made.ids)
    alone = prompt.build([("b", "five six")], "a", "word " * 50)
    assert len(alone.ids) == 16
    assert sum(alone.type_ids) == 15


def test_push_adds_to_the_history_and_peek_does_not(encoder: TextEncoder) -> None:
    history = TextHistory(encoder.prompt)
    first = history.push("ann", "hello")
    assert first == encoder.prompt.build((), "ann", "hello")
    history.peek("bob", "not yet said")
    expected = encoder.prompt.build([("ann", "hello")], "bob", "hi")
    assert history.peek("bob", "hi") == history.push("bob", "hi") == expected


def test_a_vector_is_the_same_alone_and_in_a_batch(encoder: TextEncoder) -> None:
    rows = [
        encoder.prompt.build((), "a", text) for text in ("I love it", "no", "how could you do that to me of all people")
    ]
    together = encoder.encode(rows)
    for row, vector in zip(rows, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([row])[0], vector)
        assert vector.shape == (encoder.dim,)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"text.onnx is missing"):
        TextEncoder(tmp_path)

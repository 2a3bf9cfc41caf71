"""The history of a conversation: what push adds to it, and what peek and copies leave unchanged."""

import numpy as np
import pytest

from cberl.encoders.audio import AudioEncoderConfig, AudioHistory
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.encoders.conversation import ConversationHistory, InContext
from cberl.encoders.text import TextEncoder, TextPrompt
from cberl.types import Float32

AUDIO = AudioEncoderConfig((0.0,) * 8, (10.0,) * 8)


@pytest.fixture(scope="module")
def prompt() -> TextPrompt:
    return TextEncoder(TEXT_ENCODER).prompt


def raw(seed: int) -> Float32:
    return np.random.default_rng(seed).uniform(1, 50, 8).astype(np.float32)


def equal(one: InContext, other: InContext) -> bool:
    return one.text == other.text and np.array_equal(one.audio, other.audio)


def test_peek_returns_what_push_returns_and_changes_nothing(prompt: TextPrompt) -> None:
    history = ConversationHistory(prompt, AudioHistory(AUDIO))
    history.push("ann", "hello", raw(0))
    peeked = [history.peek("ann", "fine", raw(1)) for _ in range(2)]
    assert equal(*peeked)
    assert equal(peeked[0], history.push("ann", "fine", raw(1)))
    assert not equal(peeked[0], history.peek("ann", "fine", raw(1)))


def test_a_copy_is_independent(prompt: TextPrompt) -> None:
    history = ConversationHistory(prompt, AudioHistory(AUDIO))
    history.push("ann", "hello", raw(0))
    copy = history.copy()
    before = copy.peek("bob", "fine", raw(1))
    history.push("bob", "no", raw(2))
    assert equal(before, copy.peek("bob", "fine", raw(1)))


def test_an_absent_modality_adds_nothing_to_the_past(prompt: TextPrompt) -> None:
    history, other = (ConversationHistory(prompt, AudioHistory(AUDIO)) for _ in range(2))
    assert history.push("ann", "", None) == (None, None)
    silence = np.full(8, np.nan, np.float32)
    assert history.push("ann", "", silence).audio is None
    assert equal(history.push("ann", "hello", raw(0)), other.push("ann", "hello", raw(0)))

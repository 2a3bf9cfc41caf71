"""Scores of the demo, against values worked out by hand."""

import pytest

from engine.demo.score import Script, ScriptedTurn, agreement, summarize, word_error_rate
from engine.events import EmotionEvent

SCRIPT = Script(
    ("ann", "bob"),
    (
        ScriptedTurn("ann", "I can't believe it!", "surprise", 0.0, 2.0),
        ScriptedTurn("bob", "Go away now.", "anger", 2.0, 4.0),
        ScriptedTurn("ann", "Fine.", "sadness", 5.0, 6.0),
    ),
)


def event(
    speaker: str, start_s: float, end_s: float, emotion: str, text: str | None, after_ms: float = 600.0
) -> EmotionEvent:
    return EmotionEvent(
        "demo", f"demo/{speaker}/{start_s}", speaker, start_s, end_s, text, emotion, 1.0, {emotion: 1.0}, 0.0, 0.0,
        None, {}, "", "test", {"turn": 400.0, "after_speech": after_ms}, 0.0,
    )  # fmt: skip


def test_words_are_compared_by_speaker_wherever_turns_were_cut() -> None:
    events = [
        event("ann", 1.0, 2.0, "surprise", "believe it"),
        event("ann", 0.0, 1.0, "surprise", "i can't"),
        event("bob", 2.0, 4.0, "anger", "go a way now"),
        event("ann", 5.0, 6.0, "sadness", None),
    ]
    assert word_error_rate(SCRIPT, events) == pytest.approx((0 + 2 + 1) / 8)


def test_a_turn_agrees_by_its_own_speakers_event_that_overlaps_most() -> None:
    events = [
        event("ann", 0.2, 0.6, "joy", "i"),
        event("ann", 0.6, 1.9, "surprise", "can't believe it"),
        event("bob", 0.0, 2.0, "anger", "nothing"),
        event("ann", 4.9, 6.1, "sadness", "fine"),
    ]
    assert agreement(SCRIPT, events) == pytest.approx(2 / 3)  # no event of bob overlaps his turn


def test_the_summary_has_percentiles_and_requires_events() -> None:
    events = [event("ann", 0.0, 2.0, "surprise", "I can't believe it", after_ms=ms) for ms in (500.0, 700.0, 900.0)]
    summary = summarize(SCRIPT, events, "test")
    assert summary.after_speech_ms == {"p50": 700.0, "p95": 880.0}
    assert summary.after_silence_ms == {"p50": 300.0, "p95": 480.0}
    with pytest.raises(ValueError, match="there are no events to score"):
        summarize(SCRIPT, [], "test")

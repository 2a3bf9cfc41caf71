import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cberl.types import SAMPLE_RATE
from engine.speech.whisper_window import FULL_S, MARGIN_S, WINDOWS_S, pieces, repeats, window_s


@pytest.mark.parametrize(("duration_s", "window"), [(0.1, 10), (8.0, 10), (8.1, 15), (13.1, 20), (18.1, 30), (30, 30)])
def test_a_window_holds_its_clip_and_the_margin(duration_s: float, window: int) -> None:
    assert window_s(duration_s) == window
    assert window in WINDOWS_S


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("Dogs are sitting by the door. Dogs are sitting by the door.", True),
        ("Good morning. Good morning. Good morning, Katie.", True),
        ("No, no, no, no!", True),
        ("No, no, no!", False),
        ("It is what it is.", False),
        ("", False),
    ],
)
def test_what_is_said_several_times_in_a_row_is_repetition(text: str, again: bool) -> None:
    assert repeats(text) is again


@given(seconds=st.floats(0.0, 100.0))
def test_pieces_are_the_clip_and_fit_the_full_window(seconds: float) -> None:
    pcm = np.random.default_rng(0).normal(size=round(seconds * SAMPLE_RATE)).astype(np.float32)
    found = pieces(pcm)
    np.testing.assert_array_equal(np.concatenate(found), pcm)
    assert all(len(it) <= (FULL_S - MARGIN_S) * SAMPLE_RATE for it in found)


def test_a_long_clip_is_split_where_it_is_quiet() -> None:
    pcm = np.ones(40 * SAMPLE_RATE, np.float32)
    pause = slice(round(25.3 * SAMPLE_RATE), round(25.7 * SAMPLE_RATE))
    pcm[pause] = 0.0
    first, _ = pieces(pcm)
    assert pause.start < len(first) < pause.stop

"""The bundled speech emotion network: its input and output, and its accuracy on unknown speakers."""

from pathlib import Path

import numpy as np
import pytest
from cberl.data.ravdess import SPLITS, read_ravdess

from cberl.checkpoint import WEIGHTS
from cberl.encoders.speech_emotion import SPEECH_DIM, SpeechEncoder, spread_windows
from cberl.labels import MELD

RATE = 16_000


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder(WEIGHTS / "speech")


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0, 4.01, 30.0])
def test_any_turn_from_a_third_of_a_second_has_a_vector_and_probabilities(
    encoder: SpeechEncoder, seconds: float
) -> None:
    described = encoder.describe(noise(seconds))
    assert described is not None
    assert described.shape == (SPEECH_DIM,)
    assert described.dtype == np.float32
    assert np.isfinite(described).all()
    assert described[64:].sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pcm", [noise(0.29), np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32)])
def test_unusable_audio_has_no_result(encoder: SpeechEncoder, pcm: np.ndarray) -> None:
    assert encoder.describe(pcm) is None


def test_the_result_does_not_depend_on_gain(encoder: SpeechEncoder) -> None:
    quiet, loud = encoder.describe(noise(1.0) * 0.1), encoder.describe(noise(1.0))
    assert quiet is not None
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


def test_a_long_turn_is_read_in_four_windows_from_its_start_to_its_end() -> None:
    for seconds, count in ((3.0, 1), (4.0, 1), (4.5, 2), (11.0, 3), (600.0, 4)):
        pcm = np.arange(int(seconds * RATE), dtype=np.float32)
        windows = spread_windows(pcm)
        assert len(windows) == count
        assert (windows[0][0], windows[-1][-1]) == (pcm[0], pcm[-1])
        assert all(len(window) == min(len(pcm), 4 * RATE) for window in windows)


def test_it_recognises_emotions_of_unknown_actors(encoder: SpeechEncoder, shared: Path) -> None:
    clips = read_ravdess(shared / "data/ravdess", SPLITS["test"])[::3]
    described = [encoder.describe(clip.pcm) for clip in clips]
    hits = [row is not None and row[64:].argmax() == clip.label for row, clip in zip(described, clips, strict=True)]
    assert encoder.labels == MELD
    assert np.mean(hits) > 0.45  # chance is 1/7, always the most frequent class 1/5

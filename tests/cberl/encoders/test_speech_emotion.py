"""The bundled speech emotion network: its input and output, its accuracy on people, and vocal events."""

import json
from pathlib import Path

import numpy as np
import pytest

from cberl.data.acted_speech import loud_part, read_ravdess
from cberl.data.sound import decode
from cberl.encoders.bundle import SPEECH, speech_files
from cberl.encoders.speech_emotion import STATES_DIM, VOCAL_EVENTS, SpeechEncoder, SpeechStates, equal_windows
from cberl.errors import EncoderError
from cberl.onnx import open_session

RATE = 16_000


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder(SPEECH)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0, 3.01, 30.0])
def test_any_turn_from_a_third_of_a_second_has_states(encoder: SpeechEncoder, seconds: float) -> None:
    described = encoder.describe(noise(seconds))
    assert described is not None
    assert described.states.shape == (STATES_DIM,)
    assert described.states.dtype == np.float32
    assert np.isfinite(described.states).all()


@pytest.mark.parametrize("pcm", [noise(0.29), np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32)])
def test_unusable_audio_has_no_result(encoder: SpeechEncoder, pcm: np.ndarray) -> None:
    assert encoder.describe(pcm) is None


def test_the_result_does_not_depend_on_gain(encoder: SpeechEncoder) -> None:
    quiet, loud = encoder.describe(noise(1.0) * 0.01), encoder.describe(noise(1.0))
    assert quiet is not None
    assert loud is not None
    np.testing.assert_allclose(quiet.states, loud.states, atol=5e-3)  # of 0.5; int8 rounds


def test_windows_are_equal_and_reach_from_the_start_to_the_end() -> None:
    for seconds, count in ((2.0, 1), (3.0, 1), (3.2, 2), (11.0, 4), (600.0, 6)):
        pcm = np.arange(int(seconds * RATE), dtype=np.float32)
        windows = equal_windows(pcm)
        assert len(windows) == count
        assert windows[0][0] == pcm[0]
        assert pcm[-1] - windows[-1][-1] < 320
        assert windows.shape[1] <= 3 * RATE
        assert windows.shape[1] % 320 == 0


def test_pauses_and_a_window_of_silence_change_nothing() -> None:
    """States are averaged over voiced frames; a window without any counts nothing."""
    states = SpeechStates(open_session(SPEECH / "speech.onnx"))
    pcm = np.concatenate([noise(2.9), np.zeros(3 * RATE, np.float32)])
    assert len(equal_windows(pcm)) == 2
    found = states(pcm)
    assert found is not None
    assert found.states.shape == (1, STATES_DIM)
    assert found.voiced.tolist() == [145]


def test_it_recognises_emotions_of_actors_in_a_conversation(encoder: SpeechEncoder, shared: Path) -> None:
    """The head has heard these actors, so this holds the whole path together; what it is worth is in its README."""
    clips = read_ravdess(shared / "data/ravdess", [18, 19])[::2]
    pasts = {clip.actor: encoder.head.normalizer() for clip in clips}
    hits = []
    for n in np.random.default_rng(0).permutation(len(clips)):
        described = encoder.describe(clips[n].pcm)
        assert described is not None
        normalised = pasts[clips[n].actor].push("", described.states)
        hits.append(encoder.head.probabilities(normalised).argmax() == clips[n].label)
    assert np.mean(hits) > 0.6  # chance is 1/7


def test_vocal_events_are_heard_in_vocalisations_and_not_in_speech(encoder: SpeechEncoder, shared: Path) -> None:
    def events(path: Path) -> tuple[str, ...]:
        described = encoder.describe(loud_part(np.concatenate([*decode(path)])))
        return described.vocal_events if described else ()

    vocal = shared / "data/nonverbal"
    laughs = [events(path) for path in sorted(vocal.glob("laughing_*"))[:10]]
    assert sum("laughter" in heard for heard in laughs) >= 7
    assert {event for heard in laughs for event in heard} <= set(VOCAL_EVENTS)
    speech = [events(path) for path in sorted((shared / "data/ravdess").glob("*.flac"))[::60]]
    assert sum(map(bool, speech)) <= 1


def test_a_head_of_another_network_is_refused(tmp_path: Path) -> None:
    for file in speech_files():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "speech.json").read_text())
    (tmp_path / "speech.json").write_text(json.dumps(config | {"vocal_events": ["hiccup"]}))
    with pytest.raises(EncoderError, match="this encoder needs"):
        SpeechEncoder(tmp_path)
    (tmp_path / "speech.safetensors").write_bytes(b"short")
    with pytest.raises(EncoderError, match="is not the head of a speech emotion network"):
        SpeechEncoder(tmp_path)
    (tmp_path / "speech.safetensors").unlink()
    with pytest.raises(EncoderError, match="is not the head of a speech emotion network"):
        SpeechEncoder(tmp_path)

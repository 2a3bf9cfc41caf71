import json
from dataclasses import asdict

import numpy as np
import pytest

from cberl.checkpoint import WEIGHTS
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig, AudioHistory
from cberl.encoders.log_ratio import log_ratio_scores
from cberl.encoders.normalize import fit_prior
from cberl.encoders.prosody import compress
from cberl.encoders.speech_emotion import STATES_DIM, SpeechEncoder
from cberl.errors import EncoderError

RATE = 16_000
CORPUS = np.array(
    [[1.2, 60, 7, 180, 30, 120, 3.5, 6], [4.0, 66, 9, 230, 60, 300, 4.5, 9], [2.0, 63, 8, np.nan, 0, 0, 4.0, 7]]
    + [[2.5, 62, 6, 120, 20, 90, 5.0, 11]],
    np.float32,
)


def config(**changes):
    mean, sd = fit_prior(compress(CORPUS))
    return AudioEncoderConfig(**{"prior_mean": mean, "prior_sd": sd} | changes)


def speech_like(seconds, hz=170, seed=0):
    t = np.arange(int(seconds * RATE)) / RATE
    hiss = np.random.default_rng(seed).standard_normal(len(t)) * 0.01
    return (0.1 * np.sin(np.pi * 4 * t) ** 2 * np.sign(np.sin(2 * np.pi * hz * t)) + hiss).astype(np.float32)


def test_raw_features_of_a_corpus_and_live_audio_give_equal_vectors():
    encoder, live, offline = AudioEncoder(config()), AudioHistory(config()), AudioHistory(config())
    for hz in (150, 220, 170):
        raw = encoder.describe(speech_like(1.5, hz)).raw
        interim = live.peek("ann", raw)
        vector = live.push("ann", raw)
        np.testing.assert_array_equal(interim, vector)
        np.testing.assert_array_equal(vector, offline.push("ann", np.array(raw.tolist(), np.float32)))
        assert vector.shape == (encoder.dim,) == (8,)
        assert np.isfinite(vector).all()


def test_the_first_utterance_is_normalised_by_the_corpus():
    mean, sd = fit_prior(compress(CORPUS))
    expected = np.nan_to_num((compress(CORPUS[2]) - mean) / sd)
    np.testing.assert_allclose(AudioHistory(config()).push("ann", CORPUS[2]), expected, rtol=1e-4, atol=1e-5)
    assert expected[3] == 0  # no pitch


@pytest.mark.parametrize(
    "pcm",
    [
        np.empty(0, np.float32),
        np.zeros(2 * RATE, np.float32),
        np.full(2 * RATE, 0.25, np.float32),
        speech_like(0.09),
    ],
    ids=["empty", "digital silence", "offset alone", "90 ms"],
)
def test_unusable_audio_is_absent_and_not_added_to_the_past(pcm):
    encoder, history, untouched = AudioEncoder(config()), AudioHistory(config()), AudioHistory(config())
    assert history.peek("ann", encoder.describe(pcm).raw) is None
    assert history.push("ann", encoder.describe(pcm).raw) is None
    raw = encoder.describe(speech_like(0.5)).raw
    np.testing.assert_array_equal(history.push("ann", raw), untouched.push("ann", raw))


def test_scores_follow_from_states_that_are_normalised_by_the_speakers_past():
    both = config(features="prosody+speech")
    speech = SpeechEncoder(WEIGHTS / "speech")
    encoder = AudioEncoder(both, speech)
    history, past = encoder.history(), speech.head.normalizer()
    for seed in range(3):
        raw, _ = encoder.describe(speech_like(1.0, seed=seed))
        assert raw.shape == (both.raw_dim,) == (8 + STATES_DIM,)
        scores = log_ratio_scores(speech.head.probabilities(past.push("ann", raw[8:])))
        np.testing.assert_array_equal(history.peek("ann", raw)[8:], scores)
        copy = history.copy()
        np.testing.assert_array_equal(history.push("ann", raw)[8:], scores)
        np.testing.assert_array_equal(copy.push("ann", raw)[8:], scores)
    alone = AudioHistory(both.prosody_only())
    assert both.prosody_only() == config()
    np.testing.assert_array_equal(alone.push("ann", raw[:8]), encoder.history().push("ann", raw)[:8])


def test_audio_too_short_for_the_network_has_even_scores_and_is_not_added_to_the_past():
    encoder = AudioEncoder(config(features="prosody+speech"), SpeechEncoder(WEIGHTS / "speech"))
    history, untouched = encoder.history(), encoder.history()
    short, long = (encoder.describe(speech_like(seconds)).raw for seconds in (0.2, 1.0))
    assert np.isnan(short[8:]).all()
    assert (history.push("ann", short)[8:] == 0).all()
    np.testing.assert_array_equal(history.push("ann", long)[8:], untouched.push("ann", long)[8:])
    with pytest.raises(ValueError, match="need a SpeechEncoder"):
        AudioEncoder(config(features="prosody+speech"))
    with pytest.raises(EncoderError, match="head of the speech emotion network"):
        AudioHistory(config(features="prosody+speech"))


def test_log_ratio_scores_by_hand():
    even = log_ratio_scores(np.full(7, 1 / 7))
    np.testing.assert_allclose(even, np.zeros(7), atol=1e-6)
    sure = log_ratio_scores(np.array([[0, 0, 0, 1, 0, 0, 0.0]]))
    np.testing.assert_allclose(sure[0], np.log(100) * (np.arange(7) == 3) - np.log(100) / 7, rtol=1e-5)


def test_the_config_survives_json():
    original = config(prior_weight=7)
    again = AudioEncoderConfig(**json.loads(json.dumps(asdict(original))))
    assert again == original


def test_an_impossible_config_is_refused():
    with pytest.raises(ValueError, match="prior of prosody has 8 numbers, not 7"):
        config(prior_mean=[0.0] * 7)
    with pytest.raises(ValueError, match="must be one of"):
        config(features="mfcc")
    with pytest.raises(ValueError, match="expected 8 raw audio features"):
        AudioHistory(config()).push("ann", np.zeros(136, np.float32))

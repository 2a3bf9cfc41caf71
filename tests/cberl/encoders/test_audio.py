import json
from dataclasses import asdict

import numpy as np
import pytest

from cberl.checkpoint import WEIGHTS
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig, AudioHistory
from cberl.encoders.log_ratio import SCORES_DIM, log_ratio_scores
from cberl.encoders.logmel import BANDS, HOP, WINDOW, log_mel, pooled_log_mel
from cberl.encoders.normalize import fit_prior
from cberl.encoders.prosody import compress
from cberl.encoders.speech_emotion import SpeechEncoder

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
        raw = encoder.describe(speech_like(1.5, hz))
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
    assert history.peek("ann", encoder.describe(pcm)) is None
    assert history.push("ann", encoder.describe(pcm)) is None
    raw = encoder.describe(speech_like(0.5))
    np.testing.assert_array_equal(history.push("ann", raw), untouched.push("ann", raw))


def test_log_mel_features_follow_the_prosody():
    dim = 8 + 2 * BANDS
    both = config(features="prosody+logmel", prior_mean=[0.0] * dim, prior_sd=[1.0] * dim)
    pcm = speech_like(1.0)
    raw = AudioEncoder(both).describe(pcm)
    np.testing.assert_array_equal(raw[8:], pooled_log_mel(pcm))
    assert AudioHistory(both).push("ann", raw).shape == (dim,) == (both.dim,)


def test_speech_emotion_scores_follow_the_prosody():
    dim = 8 + SCORES_DIM
    both = config(features="prosody+speech", prior_mean=[0.0] * dim, prior_sd=[1.0] * dim)
    speech = SpeechEncoder(WEIGHTS / "speech")
    encoder, history = AudioEncoder(both, speech), AudioHistory(both)
    heard = encoder.describe(speech_like(1.0))
    np.testing.assert_array_equal(heard[8:], log_ratio_scores(speech.describe(speech_like(1.0))[64:]))
    short = encoder.describe(speech_like(0.2))  # long enough for prosody, too short for the network
    assert np.isnan(short[8:]).all()
    assert (history.push("ann", short)[8:] == 0).all()
    with pytest.raises(ValueError, match="need a SpeechEncoder"):
        AudioEncoder(both)
    alone = both.prosody_only()
    assert AudioEncoderConfig([0.0] * 8, [1.0] * 8) == alone
    np.testing.assert_array_equal(AudioHistory(alone).push("ann", heard[:8]), AudioHistory(both).push("ann", heard)[:8])


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
    with pytest.raises(ValueError, match="prior of 136 numbers, not 8"):
        config(features="prosody+logmel")
    with pytest.raises(ValueError, match="must be one of"):
        config(features="mfcc")
    with pytest.raises(ValueError, match="expected 8 raw audio features"):
        AudioHistory(config()).push("ann", np.zeros(136, np.float32))


def test_a_log_mel_frame_depends_on_its_own_window_only():
    pcm = speech_like(1.0)
    frames = log_mel(pcm)
    assert frames.shape == ((len(pcm) - WINDOW) // HOP + 1, BANDS)
    for i in (0, 1, 37):
        end = i * HOP + WINDOW
        changed = np.concatenate([pcm[:end], -5 * pcm[end:]])
        np.testing.assert_array_equal(log_mel(changed)[: i + 1], frames[: i + 1])
        np.testing.assert_allclose(log_mel(pcm[:end])[i], frames[i], rtol=1e-5)
    assert not np.allclose(log_mel(changed)[38 + WINDOW // HOP], frames[38 + WINDOW // HOP])


def test_a_tone_has_its_maximum_in_its_own_band():
    mel = 2595 * np.log10(1 + np.array([1000, 8000]) / 700)
    band = mel[0] / mel[1] * (BANDS + 1) - 1
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    assert abs(log_mel(tone)[10].argmax() - band) <= 1


def test_audio_shorter_than_a_window_has_no_spectrum():
    assert log_mel(np.zeros(WINDOW - 1, np.float32)).shape == (0, BANDS)
    assert np.isnan(pooled_log_mel(np.zeros(WINDOW - 1, np.float32))).all()
    assert np.isfinite(log_mel(np.zeros(WINDOW, np.float32))).all()

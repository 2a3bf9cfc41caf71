"""The eight prosodic features: on synthetic sounds with known values, and compared with Praat on real speech."""

import os
import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cberl.encoders.prosody import PROSODY_NAMES, compress, prosody

RATE = 16_000
ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("CBERL_SHARED", ROOT.parent / "shared")) / "data"


def voice(hz, seconds=2.0, noise=0.0, seed=0):
    """Ten harmonics of a constant pitch with a power of 0.01, and white noise with `noise` times that power."""
    t = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.cos(2 * np.pi * hz * k * t + k * k) for k in range(1, 11)) / np.sqrt(5) * 0.1
    hiss = np.random.default_rng(seed).standard_normal(len(t)) * 0.1 * np.sqrt(noise)
    return (tone + hiss).astype(np.float32)


def named(pcm):
    return dict(zip(PROSODY_NAMES, prosody(pcm).tolist(), strict=True))


@pytest.mark.parametrize("hz", [82.0, 147.3, 220.0, 411.7])
def test_pitch_and_level_of_a_steady_voice(hz):
    numbers = named(voice(hz))
    assert numbers["duration_s"] == 2.0
    assert numbers["pitch_hz"] == pytest.approx(hz, rel=1e-3)
    assert numbers["pitch_range_hz"] < 0.5
    assert numbers["intensity_db"] == pytest.approx(10 * np.log10(0.01 / 4e-10), abs=0.1)
    assert numbers["intensity_sd_db"] < 0.2


@pytest.mark.parametrize("ratio_db", [0.0, 5.0, 10.0, 20.0])
def test_harmonicity_is_the_ratio_of_harmonics_to_noise(ratio_db):
    assert named(voice(200, noise=10 ** (-ratio_db / 10)))["harmonicity_db"] == pytest.approx(ratio_db, abs=1.0)


def test_range_and_sd_of_a_gliding_pitch():
    t = np.arange(3 * RATE) / RATE
    phase = 2 * np.pi * (120 * t + 20 * t**2)  # 120 to 240 Hz
    numbers = named((0.1 * np.cos(phase) + 0.1 * np.cos(2 * phase)).astype(np.float32))
    assert numbers["pitch_hz"] == pytest.approx(180, abs=1)
    assert numbers["pitch_range_hz"] == pytest.approx(120, abs=4)
    assert numbers["pitch_sd_hz"] == pytest.approx(120 / np.sqrt(12), abs=2)


def test_articulation_rate_counts_syllables_in_phonation_and_not_in_pauses():
    syllables = voice(150, 3.0)
    t = np.arange(len(syllables)) / RATE
    spoken = (syllables * (0.02 + 0.98 * np.sin(np.pi * 4 * t) ** 2)).astype(np.float32)
    pause = voice(150, 1.0) * np.float32(1e-4)
    # Of twelve syllables in three seconds the last has no dip after it.
    assert named(spoken)["articulation_rate_hz"] == pytest.approx(11 / 3, rel=0.02)
    paused = named(np.concatenate([spoken, pause, spoken]))["articulation_rate_hz"]
    assert paused == pytest.approx(23 / 6, rel=0.08)


def test_only_intensity_depends_on_gain():
    pcm = voice(180, noise=0.1) * np.hanning(2 * RATE).astype(np.float32)
    loud, soft = named(pcm), named(pcm / 4)
    assert loud.pop("intensity_db") - soft.pop("intensity_db") == pytest.approx(20 * np.log10(4), abs=1e-3)
    assert loud == pytest.approx(soft, rel=1e-2, nan_ok=True)


def test_features_that_do_not_exist_are_nan():
    hiss = (np.random.default_rng(1).standard_normal(RATE) * 0.1).astype(np.float32)
    whisper = named(hiss)
    assert np.isnan([whisper["pitch_hz"], whisper["pitch_sd_hz"], whisper["articulation_rate_hz"]]).all()
    assert whisper["intensity_db"] == pytest.approx(74, abs=0.2)
    for nothing in (np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32)):
        assert np.isnan(prosody(nothing)[1:]).all()


@pytest.mark.parametrize("n", [0, 1, 100, 639, 640, 1023, 1024, 2048, 2500])
def test_audio_of_any_length_has_eight_features(n):
    numbers = prosody(voice(300, 0.2)[:n])
    assert numbers.shape == (8,)
    assert numbers.dtype == np.float32
    assert numbers[0] == pytest.approx(n / RATE)
    assert not np.isinf(numbers).any()


def test_offset_and_clipping_change_little():
    clean, shifted = named(voice(200)), named(voice(200) + np.float32(0.3))
    clipped = named(np.clip(voice(200) * 20, -1, 1))
    assert shifted == pytest.approx(clean, rel=1e-2, abs=0.1, nan_ok=True)
    assert clipped["pitch_hz"] == pytest.approx(200, rel=1e-2)


def test_memory_does_not_grow_with_length():
    minute = np.tile(voice(200, noise=0.1), 30)
    tracemalloc.start()
    numbers = prosody(minute)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numbers[3] == pytest.approx(200, rel=1e-2)
    assert peak < 64 * 2**20


def test_compress_takes_logarithms_and_treats_zero_as_missing():
    raw = np.array([[2.0, 60, 8, 200, 49, 150, 4, 10], [1.0, 60, 8, 0, 0, 0, 0, 10]], np.float32)
    expected = [[np.log(2), 60, 8, np.log(200), 7, 150, 4, 10], [0, 60, 8, np.nan, np.nan, np.nan, np.nan, 10]]
    np.testing.assert_allclose(compress(raw), expected, rtol=1e-6)
    np.testing.assert_array_equal(compress(raw[0]), compress(raw)[0])
    assert raw[1, 4] == 0


@pytest.mark.skipif(not DATA.is_dir(), reason="no recordings: set CBERL_SHARED to the folder that holds data/")
def test_the_features_agree_with_praat():
    pytest.importorskip("parselmouth", reason="praat-parselmouth is the yardstick")
    bench = runpy.run_path(str(ROOT / "bench" / "prosody.py"))
    turns = [pcm for _, pcm in bench["recordings"](DATA, one_in=4)]
    assert len(turns) >= 50
    ours, theirs = np.array([prosody(t) for t in turns], np.float64), np.array([bench["praat"](t) for t in turns])
    for name, row in bench["agreement"](ours, theirs).items():
        assert row["pearson"] > 0.95, name
        assert row["one_sided_missing"] <= 1, name

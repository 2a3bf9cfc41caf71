"""RAVDESS by file name: a small folder, and the real one."""

import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cberl.data.ravdess import SPLITS, loud_part, read_ravdess

from cberl.data.dialogue import DataError
from cberl.labels import MELD

RATE = 16_000


def tone(seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def write(path: Path, pcm: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((pcm * 32767).astype("<i2").tobytes())


def test_a_tiny_folder(tmp_path: Path) -> None:
    write(tmp_path / "03-01-02-01-01-01-07.wav", tone(0.5))  # calm
    write(tmp_path / "03-01-08-02-02-02-16.wav", tone(0.7))
    train, dev = read_ravdess(tmp_path, SPLITS["train"]), read_ravdess(tmp_path, SPLITS["dev"])
    assert [(MELD[clip.label], clip.actor, len(clip.pcm)) for clip in train] == [("neutral", 7, RATE // 2)]
    assert [(MELD[clip.label], clip.actor) for clip in dev] == [("surprise", 16)]
    np.testing.assert_allclose(train[0].pcm, tone(0.5), atol=1e-4)


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no 03-01"):
        read_ravdess(tmp_path, [1])
    write(tmp_path / "03-01-09-01-01-01-07.wav", tone(0.1))
    with pytest.raises(DataError, match="is not a name of RAVDESS"):
        read_ravdess(tmp_path, [7])
    (tmp_path / "03-01-09-01-01-01-07.wav").rename(tmp_path / "03-01-01-01-01-01-07.wav")
    with pytest.raises(DataError, match=r"no clip of actors \[8\]"):
        read_ravdess(tmp_path, [8])
    (tmp_path / "03-01-01-01-01-01-07.wav").write_bytes(b"not sound")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_ravdess(tmp_path, [7])


def test_silence_around_speech_is_trimmed_to_a_tenth_of_a_second() -> None:
    silence = np.zeros(RATE, np.float32)
    cut = loud_part(np.concatenate([silence, tone(0.5), silence]))
    assert len(cut) == pytest.approx(0.7 * RATE, abs=RATE // 100)
    np.testing.assert_array_equal(loud_part(tone(0.5)), tone(0.5))
    assert len(loud_part(silence)) == RATE
    assert len(loud_part(silence[:5])) == 5


def test_no_speaker_is_in_two_splits() -> None:
    assert sorted(actor for actors in SPLITS.values() for actor in actors) == list(range(1, 21))


def test_the_real_corpus(shared: Path) -> None:
    clips = read_ravdess(shared / "data/ravdess", [16])
    counts = Counter(MELD[clip.label] for clip in clips)
    assert counts == {"neutral": 12, "joy": 8, "sadness": 8, "anger": 8, "fear": 8, "disgust": 8, "surprise": 8}
    assert all(0.8 < len(clip.pcm) / RATE < 5 for clip in clips)

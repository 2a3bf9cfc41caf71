"""Acted speech and vocalisations by file name: small folders, and the real ones."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cberl.data.acted_speech import loud_part, read_ravdess, read_sounds, read_tess, read_vocalisations
from cberl.data.dialogue import DataError
from cberl.labels import MELD
from testing.recordings import write_wav

RATE = 16_000


def tone(seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def test_names_of_ravdess_give_label_and_actor(tmp_path: Path) -> None:
    write_wav(tmp_path / "03-01-02-01-01-01-07.wav", tone(0.5)[None])  # calm
    write_wav(tmp_path / "03-01-08-02-02-02-16.wav", tone(0.7)[None])
    both, one = read_ravdess(tmp_path), read_ravdess(tmp_path, [7])
    assert [(MELD[clip.label], clip.actor) for clip in both] == [("neutral", "ravdess-07"), ("surprise", "ravdess-16")]
    assert [len(clip.pcm) for clip in one] == [RATE // 2]
    np.testing.assert_allclose(one[0].pcm, tone(0.5), atol=1e-4)


def test_names_of_tess_give_label_and_actor(tmp_path: Path) -> None:
    for name in ("OAF_back_ps", "YAF_back_happy"):
        write_wav(tmp_path / f"{name}.wav", tone(0.5)[None])
    clips = read_tess(tmp_path)
    assert [(MELD[clip.label], clip.actor) for clip in clips] == [("surprise", "tess-OAF"), ("joy", "tess-YAF")]
    write_wav(tmp_path / "OAF_back_bored.wav", tone(0.5)[None])
    with pytest.raises(DataError, match=r"OAF_back_bored.wav is not a name of TESS"):
        read_tess(tmp_path)


def test_vocalisations_are_those_of_the_index(tmp_path: Path) -> None:
    write_wav(tmp_path / "laughing_A_1.wav", tone(0.5)[None])
    rows = [{"file": "laughing_A_1.flac", "label": "laughing", "speaker": "A"}]
    (tmp_path / "index.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert [(clip.kind, clip.person) for clip in read_vocalisations(tmp_path)] == [("laughing", "A")]
    assert [(clip.kind, clip.person) for clip in read_sounds(tmp_path)] == [("noise", "")]
    rows.append({"file": "crying_B_1.flac", "label": "crying", "speaker": "B"})
    (tmp_path / "index.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"no file crying_B_1, which its index names \(1 are missing\)"):
        read_vocalisations(tmp_path)
    (tmp_path / "index.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"index.jsonl cannot be read"):
        read_vocalisations(tmp_path)


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no 03-01"):
        read_ravdess(tmp_path, [1])
    write_wav(tmp_path / "03-01-09-01-01-01-07.wav", tone(0.1)[None])
    with pytest.raises(DataError, match="is not a name of RAVDESS"):
        read_ravdess(tmp_path, [7])
    (tmp_path / "03-01-09-01-01-01-07.wav").rename(tmp_path / "03-01-01-01-01-01-07.wav")
    with pytest.raises(DataError, match=r"no clip of actors \[8\]"):
        read_ravdess(tmp_path, [8])
    (tmp_path / "03-01-01-01-01-01-07.wav").write_bytes(b"not sound")
    with pytest.raises(DataError, match=r"03-01-01-01-01-01-07.wav"):
        read_ravdess(tmp_path, [7])


def test_silence_around_speech_is_trimmed_to_a_tenth_of_a_second() -> None:
    silence = np.zeros(RATE, np.float32)
    cut = loud_part(np.concatenate([silence, tone(0.5), silence]))
    assert len(cut) == pytest.approx(0.7 * RATE, abs=RATE // 100)
    np.testing.assert_array_equal(loud_part(tone(0.5)), tone(0.5))
    assert len(loud_part(silence)) == RATE
    assert len(loud_part(silence[:5])) == 5


def test_the_real_corpora(shared: Path) -> None:
    clips = read_ravdess(shared / "data/ravdess", [16])
    counts = Counter(MELD[clip.label] for clip in clips)
    assert counts == {"neutral": 12, "joy": 8, "sadness": 8, "anger": 8, "fear": 8, "disgust": 8, "surprise": 8}
    assert all(0.8 < len(clip.pcm) / RATE < 5 for clip in clips)

"""Pools of voices and faces that the networks that come along do not know: real ones, and a few made ones."""

import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from cberl.data.dialogue import DataError
from cberl.data.fer2013 import TRAINING, read_fer2013, split_faces
from cberl.data.ravdess import SPLITS
from cberl.labels import MELD
from cberl.training.features.compose import ComposeConfig
from cberl.training.features.pools import ACTORS, COPIES, read_pools, unseen_faces

LABELS = ("anger", "joy", "neutral")
BOTH = ComposeConfig(voice=1, face=1)


def make_voices(folder: Path) -> Path:
    """Three actors who buzz at 120 to 300 Hz, a clip an emotion each."""
    folder.mkdir()
    time_s = np.arange(16_000) / 16_000
    for actor in (18, 19, 20):
        for emotion in range(1, 9):
            pcm = 0.2 * np.sign(np.sin(2 * np.pi * (100 + 20 * emotion + actor) * time_s)) * np.hanning(16_000)
            with wave.open(str(folder / f"03-01-{emotion:02}-01-01-01-{actor}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16_000)
                file.writeframes((pcm * 32767).astype("<i2").tobytes())
    return folder


def make_faces(path: Path) -> Path:
    """Forty pictures an emotion of Training and two of PublicTest, of which one is a copy."""
    rng = np.random.default_rng(0)
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    training = rng.integers(0, 255, (7 * 40, 48, 48), np.uint8)
    test = np.concatenate([training[::40], rng.integers(0, 255, (7, 48, 48), np.uint8)])
    encoded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in (*training, *test)]
    label = [*np.repeat(np.arange(7), 40), *range(7), *range(7)]
    np.savez(
        path,
        jpeg=np.concatenate(encoded),
        offsets=np.cumsum([0] + [len(one) for one in encoded]),
        usage=np.array([0] * 280 + [1] * 14, np.int8),
        usages=np.array(["Training", "PublicTest"]),
        label=np.array(label, np.int8),
        labels=np.array(names),
    )
    return path


def test_no_voice_and_no_face_is_known_or_on_two_sides(shared: Path) -> None:
    known = {*SPLITS["train"], *SPLITS["dev"]}  # the shipped network was refitted on both
    assert not known & {*ACTORS["train"], *ACTORS["dev"]}
    assert not {*ACTORS["train"]} & {*ACTORS["dev"]}
    path = shared / "data/fer2013/fer2013_jpeg.npz"
    learned, _ = split_faces(read_fer2013(path, TRAINING), 0.1, seed=0)
    pictures = [
        {picture.tobytes() for picture in faces.pixels}
        for faces in (learned, unseen_faces(path, "train"), unseen_faces(path, "dev"))
    ]
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]
    assert not pictures[1] & pictures[2]
    assert all(len(one) > 2500 for one in pictures)


def test_made_data_becomes_pools_that_are_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ravdess, fer2013, cache = make_voices(tmp_path / "voices"), make_faces(tmp_path / "f.npz"), tmp_path / "cache"
    pools = {side: read_pools(BOTH, side, LABELS, cache, ravdess, fer2013) for side in ("train", "dev")}
    counts = {
        side: {kind: np.bincount(pool.label).tolist() for kind, pool in both.items()} for side, both in pools.items()
    }
    assert counts["train"] == {"voice": [2 * COPIES, 2 * COPIES, 4 * COPIES], "face": [4, 4, 4]}
    assert counts["dev"] == {"voice": [COPIES, COPIES, 2 * COPIES], "face": [1, 1, 1]}
    assert np.ptp(pools["train"]["voice"].scores, axis=0).max() > 0.1
    assert "voices for train" in capsys.readouterr().err
    again = read_pools(BOTH, "train", LABELS, cache, ravdess, fer2013)
    assert capsys.readouterr().err == ""
    for kind, pool in again.items():
        np.testing.assert_array_equal(pool.scores, pools["train"][kind].scores)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert read_pools(ComposeConfig(), "train", ("excitement",), tmp_path) == {}
    with pytest.raises(DataError, match="do not show excitement"):
        read_pools(BOTH, "train", ("joy", "excitement"), tmp_path)
    with pytest.raises(DataError, match="give --ravdess FOLDER, or take the recipe real"):
        read_pools(BOTH, "train", MELD, tmp_path)
    with pytest.raises(DataError, match="give --fer2013 FILE.npz, or take the recipe real"):
        read_pools(ComposeConfig(face=1), "train", MELD, tmp_path)
    with pytest.raises(DataError, match="holds no 03-01"):
        read_pools(ComposeConfig(voice=1), "train", MELD, tmp_path, ravdess=tmp_path)
    with pytest.raises(DataError, match="is missing: point"):
        read_pools(ComposeConfig(face=1), "train", MELD, tmp_path, fer2013=tmp_path / "none.npz")

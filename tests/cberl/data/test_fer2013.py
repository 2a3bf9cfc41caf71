"""FER2013 as an .npz of JPEG bytes: a small synthetic file, and the real one."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cberl.data.dialogue import DataError
from cberl.data.fer2013 import Faces, read_fer2013, split_faces
from cberl.labels import MELD

NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def write(path: Path, pictures: list[np.ndarray], label: list[int], usage: list[int], **changes: object) -> Path:
    encoded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in pictures]
    arrays = {
        "jpeg": np.concatenate(encoded),
        "offsets": np.cumsum([0] + [len(one) for one in encoded]),
        "usage": np.array(usage, np.int8),
        "usages": np.array(["Training", "PublicTest"]),
        "label": np.array(label, np.int8),
        "labels": np.array(NAMES),
    }
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def flat(grey: int, side: int = 48) -> np.ndarray:
    return np.full((side, side), grey, np.uint8)


def test_pictures_and_labels_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "f.npz", [flat(10), flat(90), flat(200)], [0, 3, 6], [0, 1, 0])
    train, test = read_fer2013(path, "Training"), read_fer2013(path, "PublicTest")
    assert [MELD[label] for label in train.labels] == ["anger", "neutral"]
    assert [MELD[label] for label in test.labels] == ["joy"]
    assert train.pixels.shape == (2, 48, 48)
    assert train.pixels.mean(axis=(1, 2)).tolist() == pytest.approx([10, 200], abs=1)


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing: --data takes"):
        read_fer2013(tmp_path / "none.npz", "Training")
    path = write(tmp_path / "f.npz", [flat(1)], [0], [0], labels=None)
    with pytest.raises(DataError, match="no array labels"):
        read_fer2013(path, "Training")
    path = write(tmp_path / "f.npz", [flat(1)], [0], [0], labels=np.array(["bored"]))
    with pytest.raises(DataError, match="does not have: bored"):
        read_fer2013(path, "Training")
    with pytest.raises(DataError, match="there is no 'Private'"):
        read_fer2013(write(tmp_path / "f.npz", [flat(1)], [0], [0]), "Private")
    with pytest.raises(DataError, match="picture 0: not a 48x48 JPEG"):
        read_fer2013(write(tmp_path / "f.npz", [flat(1, 32)], [0], [0]), "Training")


def test_copies_of_a_picture_stay_together_and_classes_keep_their_share() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 2, 2), np.uint8)
    pixels[1::2] = pixels[::2]  # every picture twice
    faces = Faces(pixels, np.repeat([0, 1], [160, 40]))
    train, dev = split_faces(faces, 0.25, seed=1)
    assert np.bincount(dev.labels).tolist() == [40, 10]
    assert np.bincount(train.labels).tolist() == [120, 30]
    assert not {one.tobytes() for one in train.pixels} & {one.tobytes() for one in dev.pixels}
    again, _ = split_faces(faces, 0.25, seed=1)
    np.testing.assert_array_equal(again.pixels, train.pixels)


def test_the_real_corpus(shared: Path) -> None:
    faces = read_fer2013(shared / "data/fer2013/fer2013_jpeg.npz", "PublicTest")
    counts = dict(zip(MELD, np.bincount(faces.labels).tolist(), strict=True))
    assert counts == {
        "neutral": 607,
        "surprise": 415,
        "fear": 496,
        "sadness": 653,
        "joy": 895,
        "disgust": 56,
        "anger": 467,
    }
    assert faces.pixels.shape == (3589, 48, 48)

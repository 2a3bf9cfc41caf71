"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces with one of seven expressions each.

Layout: one `.npz` with `jpeg` (the bytes of all pictures, concatenated), `offsets` (where each begins, and the end),
`usage`, `usages`, `label` and `labels`. Copies of one picture never lie on both sides of the train/dev split.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import DataError
from cberl.labels import MELD

FACE_PX = 48
TRAINING, PUBLIC_TEST = "Training", "PublicTest"
# FER2013's name -> MELD's name
TO_MELD = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "joy",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
_ARRAYS = ("jpeg", "offsets", "usage", "usages", "label", "labels")


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """`pixels` uint8[n, 48, 48]; `labels` int64[n], indices into MELD's seven."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Sequence[int] | NDArray[np.integer]) -> "Faces":
        return Faces(self.pixels[rows], self.labels[rows])


def read_fer2013(path: Path, usage: str) -> Faces:
    """All faces of one usage ("Training", "PublicTest"). Raises `DataError`."""
    if not path.is_file():
        raise DataError(f"{path} is missing: --data takes the .npz with FER2013's pictures")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in _ARRAYS if name not in file]
        if missing:
            raise DataError(f"{path} has no array {', '.join(missing)}: is it FER2013 as JPEG bytes with offsets?")
        jpeg, offsets, used, usages, label, names = (file[name] for name in _ARRAYS)
    if usage not in usages:
        raise DataError(f"{path} holds {', '.join(usages)}; there is no {usage!r}")
    unknown = sorted(set(names.tolist()) - set(TO_MELD))
    if unknown:
        raise DataError(f"{path} names expressions that FER2013 does not have: {', '.join(unknown)}")
    rows = np.flatnonzero(used == list(usages).index(usage))
    pixels = np.stack([_decode(path, jpeg[offsets[row] : offsets[row + 1]], row) for row in rows])
    classes = np.array([MELD.index(TO_MELD[name]) for name in names])
    return Faces(pixels, classes[label[rows]].astype(np.int64))


def split_faces(faces: Faces, dev_share: float, seed: int) -> tuple[Faces, Faces]:
    """(train, dev), `dev_share` of each class held out; copies of one picture stay together."""
    copies: dict[bytes, list[int]] = defaultdict(list)
    for row, picture in enumerate(faces.pixels):
        copies[hashlib.sha256(picture.tobytes()).digest()].append(row)
    groups = list(copies.values())
    shuffled = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    wanted = {int(label): dev_share * count for label, count in enumerate(np.bincount(faces.labels))}
    train: list[int] = []
    dev: list[int] = []
    for group in shuffled:
        label = int(faces.labels[group[0]])
        if wanted[label] >= len(group):
            wanted[label] -= len(group)
            dev += group
        else:
            train += group
    return faces.at(sorted(train)), faces.at(sorted(dev))


def _decode(path: Path, jpeg: NDArray[np.uint8], row: np.integer) -> NDArray[np.uint8]:
    picture = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
    if picture is None or picture.shape != (FACE_PX, FACE_PX):
        raise DataError(f"{path}, picture {row}: not a {FACE_PX}x{FACE_PX} JPEG")
    return picture.astype(np.uint8)

"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces with one of seven expressions each.

Layout: one `.npz` with `jpeg` (the bytes of all pictures, concatenated), `offsets` (where each begins, and the end),
`usage`, `usages`, `label` and `labels`. Copies of one picture never lie on both sides of the train/dev split.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import DataError
from cberl.data.npz import load_arrays
from cberl.errors import train_extra
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
    """All faces of one usage ("Training", "PublicTest"). Raises `DataError`; `TrainingError` without OpenCV."""
    if not path.is_file():
        raise DataError(f"{path} is missing: --data takes the .npz with FER2013's pictures")
    arrays = load_arrays(path, _ARRAYS, "is it FER2013 as JPEG bytes with offsets?")
    jpeg, offsets, used, usages, label, names = (arrays[name] for name in _ARRAYS)
    _require_consistent(path, arrays)
    if usage not in usages:
        raise DataError(f"{path} holds {', '.join(map(str, usages))}; there is no {usage!r}")
    unknown = sorted(set(map(str, names.tolist())) - set(TO_MELD))
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


def _require_consistent(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Raises `DataError` where the arrays do not fit each other."""
    count = len(arrays["label"]) if arrays["label"].ndim else 0
    kinds = {"jpeg": "u", "offsets": "iu", "usage": "iu", "label": "iu", "usages": "U", "labels": "U"}
    wrong = [name for name, kind in kinds.items() if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kind]
    if wrong:
        raise DataError(f"{path}: {', '.join(wrong)} should be one row of numbers, or of names")
    if count == 0 or len(arrays["usage"]) != count or len(arrays["offsets"]) != count + 1:
        raise DataError(f"{path}: label, usage and offsets are not of the same pictures")
    for name, of in (("usage", len(arrays["usages"])), ("label", len(arrays["labels"])), ("offsets", None)):
        most = len(arrays["jpeg"]) + 1 if of is None else of
        if int(arrays[name].min()) < 0 or int(arrays[name].max()) >= most:
            raise DataError(f"{path}: a number in {name} is out of range")


def _decode(path: Path, jpeg: NDArray[np.uint8], row: np.integer) -> NDArray[np.uint8]:
    with train_extra():
        import cv2
    picture = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE) if len(jpeg) else None
    if picture is None or picture.shape != (FACE_PX, FACE_PX):
        raise DataError(f"{path}, picture {row}: not a {FACE_PX}x{FACE_PX} JPEG")
    return picture.astype(np.uint8)

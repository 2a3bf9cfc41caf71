"""A subset of MELD with three real modalities: face landmarks and spectral sound features, for offline comparisons.

Layout of `trimodal_subset.npz`, N = 4,804 utterances of six speakers and five emotions: `split`, `dialogue`,
`utterance` and `emotion` as in the release's CSV files; `landmarks` (N, 30, 2), averaged over the clip, NaN if no face
was found; `mfcc` (N, 13), `mel` (N, 128) and `contrast` (N, 7), averaged too. The code that computed them is not
public, so a live stream cannot be encoded this way.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet
from cberl.data.meld import csv_file
from cberl.data.npz import load_arrays
from cberl.labels import MELD
from cberl.types import Float32

FILE = "trimodal_subset.npz"
LABELS = ("anger", "disgust", "fear", "joy", "sadness")
_ARRAYS = ("split", "dialogue", "utterance", "emotion", "landmarks", "mfcc", "mel", "contrast")


def read_trimodal(folder: Path, split: str, whole: FeatureSet) -> FeatureSet:
    """One split's utterances in the file, with audio (N, 148) and visual (N, 60); labels index `LABELS`.

    `whole` holds the features of every utterance of the split. Text is taken from it, since it was encoded with all
    past turns as context. Utterances that are not in the file are removed: as those in the file are never neutral or
    surprise, the presence of audio would give their emotion away. Raises `DataError` if file, folder and `whole` do not
    match.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{path} is missing: it is not part of MELD's release")
    arrays = load_arrays(path, _ARRAYS)
    _require_shapes(path, arrays)
    arrays = {name: values[arrays["split"] == split] for name, values in arrays.items()}
    where = _places(arrays["dialogue"], arrays["utterance"], _numbers(folder, split), path)
    order = np.argsort(where)  # the order spoken
    rows = torch.from_numpy(where[order])
    emotion = arrays["emotion"][order]
    if len(whole.label) <= int(rows.max()) or emotion.tolist() != [MELD[label] for label in whole.label[rows].tolist()]:
        raise DataError(f"{path} is of other utterances, or of other labels, than MELD's {split} split in {folder}")
    visual = _shape(arrays["landmarks"][order])
    dialogue = torch.repeat_interleave(torch.arange(len(whole.lengths)), whole.lengths)[rows]
    return FeatureSet(
        x={
            "text": whole.x["text"][rows],
            "audio": torch.from_numpy(_sound(arrays, order)),
            "visual": torch.from_numpy(np.nan_to_num(visual)),
        },
        present={
            "text": whole.present["text"][rows],
            "audio": torch.ones(len(rows), dtype=torch.bool),
            "visual": torch.from_numpy(np.isfinite(visual).all(1)),
        },
        speaker=whole.speaker[rows],
        label=torch.tensor([LABELS.index(name) for name in emotion]),
        lengths=dialogue.unique_consecutive(return_counts=True)[1],
    )


def _require_shapes(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Raises `DataError` where an array is not of the shape above."""
    rest = {"landmarks": (30, 2), "mfcc": (13,), "mel": (128,), "contrast": (7,)}
    count = arrays["split"].shape[:1]
    for name, values in arrays.items():
        kind = "U" if name in ("split", "emotion") else "iuf"
        if values.shape != (*count, *rest.get(name, ())) or values.dtype.kind not in kind:
            raise DataError(
                f"{path}: {name} has the shape {values.shape} and type {values.dtype}, which is not its own"
            )


def _numbers(folder: Path, split: str) -> dict[tuple[int, int], int]:
    """(dialogue, utterance) -> its row among all utterances of the split, in the order of `read_meld`."""
    by_dialogue: dict[int, list[int]] = defaultdict(list)
    with csv_file(folder, split).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            by_dialogue[int(row["Dialogue_ID"])].append(int(row["Utterance_ID"]))
    pairs = ((dialogue, utterance) for dialogue, those in by_dialogue.items() for utterance in sorted(those))
    return {pair: n for n, pair in enumerate(pairs)}


def _places(
    dialogue: Float32, utterance: Float32, numbers: dict[tuple[int, int], int], path: Path
) -> NDArray[np.int64]:
    pairs = list(zip(dialogue.tolist(), utterance.tolist(), strict=True))
    unknown = [pair for pair in pairs if pair not in numbers]
    if unknown or not pairs:
        found = "dialogue {}, utterance {}".format(*unknown[0]) if unknown else "nothing of this split"
        raise DataError(f"{path} has {found}, which MELD's CSV file has not")
    return np.array([numbers[pair] for pair in pairs])


def _shape(landmarks: Float32) -> Float32:
    """(N, 30, 2) -> (N, 60), without the face's place and size in the picture, which do not express emotion."""
    centred = landmarks - landmarks.mean(1, keepdims=True)
    size = np.sqrt((centred**2).mean((1, 2), keepdims=True))
    return np.asarray((centred / np.maximum(size, 1e-6)).reshape(len(landmarks), -1), dtype=np.float32)  # (N, 60)


def _sound(arrays: dict[str, Float32], order: NDArray[np.int64]) -> Float32:
    """(N, 148): MFCC, log-mel energies and spectral contrast."""
    parts = (arrays["mfcc"], np.log(arrays["mel"] + 1e-6), arrays["contrast"])
    return np.concatenate(parts, axis=1)[order].astype(np.float32)

"""The published feature pickles of DialogueRNN, MMGCN, M3NET, SDT and similar work, as feature sets.

A pickle is a tuple of dictionaries by dialogue, then two collections of dialogue names:
`videoIDs, videoSpeakers, videoLabels, [videoSentiments,] videoText, [roberta2, roberta3, roberta4,] videoAudio,
videoVisual, videoSentence, trainVid, testVid [, more]`. IEMOCAP's has twelve fields, MELD's one more at the end;
GraphSmile's have sentiments before the text, DialogueRNN's a single text field. Labels are in the order of
`cberl.labels`. The four text fields are RoBERTa's last four layers; here their mean is used, as in M3NET.

The extractors of these features are not available, so they serve for offline comparisons only.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.data.dialogue import DataError, held_out
from cberl.data.features import FeatureSet
from cberl.data.plain_pickle import load_plain
from cberl.labels import IEMOCAP6, MELD
from cberl.types import Float32

Table = Mapping[Hashable, Any]
MODALITIES = ("text", "audio", "visual")


@dataclass(frozen=True, slots=True)
class _Fields:
    speakers: Table
    labels: Table
    vectors: dict[str, list[Table]]  # by modality; several are averaged
    train: list[Hashable]
    test: list[Hashable]


def read_sdt(
    path: Path, *, dev_share: float = 0.1, seed: int = 0, labels: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, FeatureSet]]:
    """(labels, feature sets of train, dev and test). Raises `DataError`; no code in the file is executed.

    The published splits have no dev: whole dialogues are held out from train. Without `labels`, a file whose labels
    are all below six is IEMOCAP's, otherwise MELD's.
    """
    fields = _fields(path, load_plain(path))
    dev = held_out((str(one) for one in fields.train), dev_share, seed)
    parts = {
        "train": [one for one in fields.train if str(one) not in dev],
        "dev": [one for one in fields.train if str(one) in dev],
        "test": fields.test,
    }
    sets = {split: _features(path, fields, ids) for split, ids in parts.items() if ids}
    most = max(int(one.label.max()) for one in sets.values())
    known = tuple(labels or (IEMOCAP6 if most < len(IEMOCAP6) else MELD))
    if most >= len(known):
        raise DataError(f"{path} has a label {most}, and there are {len(known)} labels: {', '.join(known)}")
    return known, sets


def _fields(path: Path, loaded: Any) -> _Fields:
    tables: list[Table] = []
    if isinstance(loaded, (tuple, list)):
        for field in loaded:
            if not isinstance(field, dict):
                break
            tables.append(field)
    rest = loaded[len(tables) :] if tables else ()
    if len(tables) < 7 or len(rest) < 2:
        raise DataError(
            f"{path} is no feature pickle of this layout: expected videoIDs, videoSpeakers, videoLabels, one or four "
            "text fields, videoAudio, videoVisual and videoSentence as dictionaries, then trainVid and testVid"
        )
    train, test = (_names(path, field) for field in rest[:2])
    text = tables[3:-3]
    first = next(iter(text[0].values()), [()])
    if len(text) > 1 and np.ndim(first[0]) == 0:
        text = text[1:]  # sentiments
    vectors = {"text": text, "audio": [tables[-3]], "visual": [tables[-2]]}
    return _Fields(tables[1], tables[2], vectors, train, test)


def _names(path: Path, field: Any) -> list[Hashable]:
    """Sorted, because sets have no order and the result must not depend on the run."""
    if not isinstance(field, Iterable) or isinstance(field, (str, dict)):
        raise DataError(f"{path}: trainVid and testVid must be collections of dialogue names")
    return sorted((one.item() if isinstance(one, np.generic) else one for one in field), key=_natural)


def _natural(name: Hashable) -> tuple[int, int, str]:
    return (0, name, "") if isinstance(name, int) else (1, 0, str(name))


def _features(path: Path, fields: _Fields, ids: list[Hashable]) -> FeatureSet:
    rows: dict[str, list[Float32]] = {name: [] for name in MODALITIES}
    labels: list[NDArray[np.int64]] = []
    speakers: list[int] = []
    for one in ids:
        try:
            label = np.asarray(fields.labels[one], dtype=np.int64)
            names = [_speaker(who) for who in fields.speakers[one]]
            vectors = {name: _vectors(tables, one) for name, tables in fields.vectors.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, dialogue {one}: cannot read {error}") from error
        lengths = {"videoLabels": len(label), "videoSpeakers": len(names)}
        lengths |= {name: len(matrix) for name, matrix in vectors.items()}
        if len(set(lengths.values())) > 1 or not len(label):
            counts = ", ".join(f"{count} in {name}" for name, count in lengths.items())
            raise DataError(f"{path}, dialogue {one}: the fields disagree on its utterances: {counts}")
        labels.append(label)
        numbers: dict[Hashable, int] = {}
        speakers.extend(numbers.setdefault(name, len(numbers)) for name in names)
        for name, matrix in vectors.items():
            rows[name].append(matrix)
    count = sum(map(len, labels))
    try:
        x = {name: torch.from_numpy(np.concatenate(matrices)) for name, matrices in rows.items()}
    except ValueError as error:
        raise DataError(f"{path}: a modality's vectors are not all of one length: {error}") from error
    return FeatureSet(
        x=x,
        present={name: torch.ones(count, dtype=torch.bool) for name in MODALITIES},
        speaker=torch.tensor(speakers),
        label=torch.from_numpy(np.concatenate(labels)),
        lengths=torch.tensor([len(label) for label in labels]),
    )


def _speaker(who: Any) -> Hashable:
    """`M`, `F` or a name, or the index of the 1 in a one-hot row."""
    return who if isinstance(who, str) else int(np.argmax(who)) if np.ndim(who) else int(who)


def _vectors(tables: list[Table], dialogue: Hashable) -> Float32:
    """float32[n, d]"""
    layers = [np.asarray(table[dialogue], dtype=np.float32) for table in tables]
    matrix: Float32 = np.mean(layers, axis=0, dtype=np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"vectors of shape {matrix.shape}: expected (utterances, numbers)")
    return matrix

"""The published layout, in a synthetic file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cberl.data.dialogue import DataError
from cberl.data.sdt import read_sdt
from cberl.labels import IEMOCAP6, MELD

RANDOM = np.random.default_rng(0)
LENGTHS = {f"Ses0{1 + n // 4}F_impro{n:02}": 2 + n % 5 for n in range(20)}


def tables(lengths: dict[Any, int], classes: int, one_hot: bool) -> list[Any]:
    def vectors(width: int) -> dict[Any, Any]:
        # both kinds are published: float64 lists of vectors, and matrices
        made = {name: RANDOM.normal(size=(n, width)).astype(np.float32) for name, n in lengths.items()}
        return {name: list(m) if one_hot else m for name, m in made.items()}

    who: Any = [1, 0, 0] if one_hot else "M"
    other: Any = [0, 0, 1] if one_hot else "F"
    return [
        {name: [f"{name}_{i}" for i in range(n)] for name, n in lengths.items()},
        {name: [(who, other)[i % 2] for i in range(n)] for name, n in lengths.items()},
        {name: [(i + n) % classes for i in range(n)] for name, n in lengths.items()},
        *(vectors(8) for _ in range(4)),
        vectors(6),
        vectors(5),
        {name: [f"sentence {i}" for i in range(n)] for name, n in lengths.items()},
    ]


def test_twelve_fields(tmp_path: Path) -> None:
    names = list(LENGTHS)
    made = (*tables(LENGTHS, 6, one_hot=False), set(names[:16]), set(names[16:]))
    assert len(made) == 12
    path = tmp_path / "iemocap.pkl"
    path.write_bytes(pickle.dumps(made, 2))
    labels, sets = read_sdt(path)
    assert labels == IEMOCAP6
    assert {split: len(one.lengths) for split, one in sets.items()} == {"train": 14, "dev": 2, "test": 4}
    test = sets["test"]
    assert test.lengths.tolist() == [LENGTHS[name] for name in names[16:]]
    assert test.speaker[:4].tolist() == [0, 1, 0, 1][: LENGTHS[names[16]]] + [0] * max(0, 4 - LENGTHS[names[16]])
    mean = np.mean([made[field][names[16]] for field in (3, 4, 5, 6)], axis=0)
    torch.testing.assert_close(test.x["text"][: LENGTHS[names[16]]], torch.from_numpy(mean))
    np.testing.assert_array_equal(test.x["audio"][: LENGTHS[names[16]]], made[7][names[16]])
    np.testing.assert_array_equal(test.x["visual"][: LENGTHS[names[16]]], made[8][names[16]])
    assert test.label[: LENGTHS[names[16]]].tolist() == made[2][names[16]]
    assert torch.equal(read_sdt(path)[1]["dev"].label, sets["dev"].label)
    assert not torch.equal(read_sdt(path, seed=3)[1]["dev"].x["text"], sets["dev"].x["text"])


def test_the_other_variants(tmp_path: Path) -> None:
    lengths = {n: 3 + n % 6 for n in range(12)}
    path = tmp_path / "meld.pkl"
    fields = tables(lengths, 7, one_hot=True)
    sentiments = {name: [i % 3 for i in range(n)] for name, n in lengths.items()}
    splits: list[Any] = [list(range(10)), [10, 11], {"unused": 1}]
    for variant in (
        [*fields, *splits],
        [*fields[:3], sentiments, *fields[3:], *splits],
        [*fields[:4], *fields[7:], *splits],
    ):
        path.write_bytes(pickle.dumps(tuple(variant), 4))
        labels, sets = read_sdt(path)
        assert labels == MELD
        assert sets["test"].x["text"].shape == (lengths[10] + lengths[11], 8)
        assert sets["test"].x["visual"].shape[1] == 5
        assert sets["test"].speaker[:3].tolist() == [0, 1, 0]


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(({}, {}, [])))
    with pytest.raises(DataError, match="no feature pickle of this layout"):
        read_sdt(path)
    names = list(LENGTHS)
    fields = tables(LENGTHS, 6, one_hot=False)
    fields[7] = fields[7] | {names[3]: fields[7][names[3]][:1]}
    path.write_bytes(pickle.dumps((*fields, names[:16], names[16:])))
    with pytest.raises(DataError, match=f"dialogue {names[3]}: the fields disagree.*1 in audio"):
        read_sdt(path)
    del fields[8][names[3]]
    path.write_bytes(pickle.dumps((*fields, names[:16], names[16:])))
    with pytest.raises(DataError, match=f"dialogue {names[3]}: cannot read"):
        read_sdt(path)
    path.write_bytes(pickle.dumps((*tables(LENGTHS, 9, one_hot=False), names[:16], names[16:])))
    with pytest.raises(DataError, match="has a label 8, and there are 7 labels"):
        read_sdt(path)

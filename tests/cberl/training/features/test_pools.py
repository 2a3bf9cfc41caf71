"""Pools of scores for speakers and faces that the bundled networks were not trained on: real data, and synthetic."""

from pathlib import Path

import numpy as np
import pytest
from cberl.data.ravdess import SPLITS

from cberl.data.dialogue import DataError
from cberl.data.fer2013 import TRAINING, read_fer2013, split_faces
from cberl.labels import MELD
from cberl.training.features.compose import ComposeConfig
from cberl.training.features.pools import ACTORS, COPIES, read_pools, unseen_faces
from testing.corpora import make_fer2013, make_ravdess

LABELS = ("anger", "joy", "neutral")
BOTH = ComposeConfig(voice=1, face=1)


def test_no_speaker_and_no_face_was_trained_on_or_is_on_both_sides(shared: Path) -> None:
    known = {*SPLITS["train"], *SPLITS["dev"]}  # the bundled network was refitted on both
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


def test_pools_are_computed_once_and_cached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ravdess, fer2013, cache = make_ravdess(tmp_path / "voices"), make_fer2013(tmp_path / "f.npz"), tmp_path / "cache"
    pools = {side: read_pools(BOTH, side, LABELS, cache, ravdess, fer2013) for side in ("train", "dev")}
    counts = {
        side: {kind: np.bincount(pool.label).tolist() for kind, pool in both.items()} for side, both in pools.items()
    }
    assert counts["train"] == {"voice": [2 * COPIES, 2 * COPIES, 4 * COPIES], "face": [4, 4, 4]}
    assert counts["dev"] == {"voice": [COPIES, COPIES, 2 * COPIES], "face": [1, 1, 1]}
    assert np.ptp(pools["train"]["voice"].scores, axis=0).max() > 0.1
    assert "speech emotion scores for train" in capsys.readouterr().err
    again = read_pools(BOTH, "train", LABELS, cache, ravdess, fer2013)
    assert capsys.readouterr().err == ""
    for kind, pool in again.items():
        np.testing.assert_array_equal(pool.scores, pools["train"][kind].scores)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert read_pools(ComposeConfig(), "train", ("excitement",), tmp_path) == {}
    with pytest.raises(DataError, match="have no excitement"):
        read_pools(BOTH, "train", ("joy", "excitement"), tmp_path)
    with pytest.raises(DataError, match="give --ravdess FOLDER, or use the recipe real"):
        read_pools(BOTH, "train", MELD, tmp_path)
    with pytest.raises(DataError, match="give --fer2013 FILE.npz, or use the recipe real"):
        read_pools(ComposeConfig(face=1), "train", MELD, tmp_path)
    with pytest.raises(DataError, match="holds no 03-01"):
        read_pools(ComposeConfig(voice=1), "train", MELD, tmp_path, ravdess=tmp_path)
    with pytest.raises(DataError, match="is missing: --data takes"):
        read_pools(ComposeConfig(face=1), "train", MELD, tmp_path, fer2013=tmp_path / "none.npz")

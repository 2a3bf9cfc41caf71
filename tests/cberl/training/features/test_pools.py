"""Pools of clips and faces with scores of networks that were not trained on them: real data, and synthetic."""

from pathlib import Path

import numpy as np
import pytest

from cberl.data.dialogue import DataError
from cberl.data.fer2013 import TRAINING, read_fer2013, split_faces
from cberl.labels import MELD
from cberl.training.encoders.speech_head import ActedStates, HeadTraining, fit_head
from cberl.training.features.compose import ComposeConfig
from cberl.training.features.pools import read_pools, unseen_faces
from cberl.training.features.speech_pool import COPIES, SpeechPool
from testing.corpora import make_fer2013, make_ravdess

LABELS = ("anger", "joy", "neutral")
BOTH = ComposeConfig(voice=1, face=1)


def test_no_face_was_trained_on_or_is_on_both_sides(shared: Path) -> None:
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


def test_pools_are_computed_once_and_share_no_actor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ravdess, fer2013, cache = make_ravdess(tmp_path / "voices"), make_fer2013(tmp_path / "f.npz"), tmp_path / "cache"
    pools = {side: read_pools(BOTH, side, LABELS, cache, ravdess, fer2013) for side in ("train", "dev")}
    voices = {side: both.voice for side, both in pools.items()}
    counts = {side: np.bincount(voice.label).tolist() for side, voice in voices.items() if voice}
    assert counts == {"train": [2 * COPIES, 2 * COPIES, 4 * COPIES], "dev": [COPIES, COPIES, 2 * COPIES]}
    assert [len(voice.group) for voice in voices.values() if voice] == [2, 1]
    assert [np.bincount(both.face.label).tolist() for both in pools.values() if both.face] == [[4, 4, 4], [1, 1, 1]]
    assert "states of acted speech" in capsys.readouterr().err
    again = read_pools(BOTH, "train", LABELS, cache, ravdess, fer2013)
    assert capsys.readouterr().err == ""
    assert again.voice is not None
    assert voices["train"] is not None
    np.testing.assert_array_equal(again.voice.states, voices["train"].states)
    np.testing.assert_array_equal(again.voice.weight, voices["train"].weight)


def test_a_clip_is_scored_by_a_head_that_never_heard_its_actor() -> None:
    """Each actor says each label in a way of their own, which only a head that knows the actor can tell."""
    rng = np.random.default_rng(0)
    actors = np.repeat([f"actor-{n}" for n in range(10)], 28)
    label = np.tile(np.repeat(np.arange(7), 4), 10)
    own = rng.standard_normal((10, 7, 768))
    turns = own[np.repeat(np.arange(10), 28), label][:, None] + 0.1 * rng.standard_normal((280, 1, 768))
    acted = ActedStates(turns.astype(np.float32), label, actors)
    pool = SpeechPool.of(acted, sorted({*actors}), HeadTraining(passes=2))
    assert pool.states.shape == (280, 768)
    hits = []
    for actor in range(10):
        rows = pool.actor == actor
        z = (pool.states[rows] - pool.head(actor).mean) / pool.head(actor).sd
        hits.append((pool.head(actor).probabilities(z).argmax(axis=1) == pool.label[rows]).mean())
    assert np.mean(hits) < 0.4  # chance is 1/7
    known = fit_head(acted, HeadTraining(passes=2))
    z = (pool.states - known.mean) / known.sd
    assert (known.probabilities(z).argmax(axis=1) == pool.label).mean() > 0.9


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    nothing = read_pools(ComposeConfig(), "train", ("excitement",), tmp_path)
    assert (nothing.voice, nothing.face) == (None, None)
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

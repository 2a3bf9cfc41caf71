"""The state of a conversation as bytes: complete, small, without words where none are kept, and never trusted."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from cberl.checkpoint_files import STARTER
from cberl.encoders.conversation import HistoryState
from cberl.live_checkpoint import LiveCheckpoint, load_live_checkpoint
from cberl.step.state import ConversationState
from engine.conversation.classifier import EmotionClassifier
from engine.conversation.saved_state import SavedState, pack, unpack
from engine.events import Shift

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def checkpoint() -> LiveCheckpoint:
    return load_live_checkpoint(STARTER)


def state() -> SavedState:
    layers = RANDOM.normal(size=(2, 8, 128)).astype(np.float32)
    audio = {
        name: np.random.default_rng(0).normal(size=(3, 15)).astype(np.float32).astype(np.float64)
        for name in ("maya", "tom")
    }
    return SavedState(
        ConversationState(RANDOM.normal(size=128).astype(np.float32), layers, ("maya", "tom") * 4),
        HistoryState((("maya", "I got the job."), ("tom", "You lied to me.")), audio),
        {"maya": "joy"},
        {"maya": Shift("neutral", 2)},
        {"tom": "Tim"},
        17,
        ("demo/maya/15", "demo/tom/16"),
    )


def test_all_of_it_comes_back(checkpoint: LiveCheckpoint) -> None:
    saved = state()
    packed = pack(saved, checkpoint, with_text=True)
    assert len(packed) < 12_000
    found = unpack(packed, checkpoint)
    assert found is not None
    np.testing.assert_array_equal(found.graph.hidden, saved.graph.hidden)
    np.testing.assert_array_equal(found.graph.layers, saved.graph.layers)
    assert found.graph.speakers == saved.graph.speakers
    assert found.history.text == saved.history.text
    for name, moments in saved.history.audio.items():
        np.testing.assert_array_equal(found.history.audio[name], moments)
    assert (found.emotions, found.shifts, found.names, found.next_turn_id, found.utterances) == (
        saved.emotions,
        saved.shifts,
        saved.names,
        17,
        saved.utterances,
    )


def test_a_state_of_an_earlier_version_does_not_know_the_names_of_utterances(checkpoint: LiveCheckpoint) -> None:
    arrays = load(pack(state(), checkpoint, with_text=True))
    about = json.loads(arrays["about"].tobytes())
    del about["utterances"]
    found = unpack(save(arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}), checkpoint)
    assert found is not None
    assert (found.utterances, found.next_turn_id) == ((), 17)


def test_words_are_part_of_it_only_where_they_are_kept(checkpoint: LiveCheckpoint) -> None:
    packed = pack(state(), checkpoint, with_text=False)
    assert b"job" not in packed
    found = unpack(packed, checkpoint)
    assert found is not None
    assert found.history.text == ()


def test_a_state_that_does_not_fit_is_refused(checkpoint: LiveCheckpoint, caplog: pytest.LogCaptureFixture) -> None:
    packed = pack(state(), checkpoint, with_text=True)
    other = replace(checkpoint, name="another")
    assert [unpack(it, checkpoint) for it in (b"", packed[:-1], b"\xff" * 100)] == [None] * 3
    assert unpack(packed, other) is None
    assert "job" not in caplog.text
    short = replace(state().graph, layers=state().graph.layers[:1])
    with pytest.raises(ValueError, match="another network"):
        EmotionClassifier("talk", checkpoint, lambda request: None).restore(short)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "damaged",
    [
        {"hidden": np.full(128, 1e38, np.float32)},
        {"hidden": np.full(128, np.nan, np.float32)},
        {"hidden": np.zeros(127, np.float32)},
        {"layers": np.zeros((2, 8, 128), np.float64)},
        {"audio1": np.full((3, 15), np.inf, np.float32)},
        {"about": np.frombuffer(b"[" * 5000, np.uint8)},
        {"names": ["tom"]},
        {"next_turn_id": "soon"},
        {"utterances": [7]},
        {"shifts": {"maya": {"from_": "neutral", "turns_ago": "two"}}},
    ],
)
def test_one_damaged_number_or_name_is_enough_to_start_from_nothing(
    checkpoint: LiveCheckpoint, damaged: dict[str, Any]
) -> None:
    arrays = load(pack(state(), checkpoint, with_text=True))
    about = json.loads(arrays["about"].tobytes()) | {key: it for key, it in damaged.items() if key not in arrays}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    assert unpack(save(arrays | {key: it for key, it in damaged.items() if key in arrays}), checkpoint) is None

"""The trimodal subset with MELD's CSV files, in a small synthetic copy of the layout."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet
from cberl.data.meld import read_meld
from cberl.data.trimodal import FILE, LABELS, read_trimodal
from cberl.labels import MELD

# dialogue 7 comes before dialogue 3, with its lines out of order
SPOKEN = [(7, 2, "joy"), (7, 0, "anger"), (7, 1, "neutral"), (3, 0, "surprise"), (3, 4, "fear"), (3, 5, "joy")]
SUBSET = [(3, 5, "joy"), (7, 0, "anger"), (3, 4, "fear"), (7, 2, "joy")]


def write(folder: Path, subset: list[tuple[int, int, str]] = SUBSET) -> None:
    with (folder / "dev_sent_emo.csv").open("w", newline="") as file:
        columns = ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime"]
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(["hm", f"S{u % 2}", e, d, u, "00:00:01,0", "00:00:02,0"] for d, u, e in SPOKEN)
    draw = np.random.default_rng(0)
    count = len(subset)
    landmarks = draw.normal(size=(count, 30, 2)).astype(np.float32)
    landmarks[2] = np.nan
    np.savez(
        folder / FILE,
        split=np.array(["dev"] * count),
        dialogue=np.array([d for d, _, _ in subset]),
        utterance=np.array([u for _, u, _ in subset]),
        emotion=np.array([e for _, _, e in subset]),
        landmarks=landmarks,
        mfcc=np.arange(count, dtype=np.float32)[:, None] * np.ones((1, 13), np.float32),
        mel=np.ones((count, 128), np.float32),
        contrast=np.zeros((count, 7), np.float32),
    )


def whole(folder: Path) -> FeatureSet:
    """Features of every utterance; the text vector is its number."""
    dialogues = read_meld(folder, "dev")
    lines = [line for one in dialogues for line in one.lines]
    return FeatureSet(
        {"text": torch.arange(len(lines)).float().unsqueeze(1)},
        {"text": torch.ones(len(lines), dtype=torch.bool)},
        torch.tensor([int(line.speaker[1]) for line in lines]),
        torch.tensor([line.label for line in lines]),
        torch.tensor([len(one.lines) for one in dialogues]),
    )


def test_modalities_are_matched_to_utterances_in_the_order_spoken(tmp_path: Path) -> None:
    write(tmp_path)
    found = read_trimodal(tmp_path, "dev", whole(tmp_path))
    assert found.lengths.tolist() == [2, 2]
    assert [LABELS[label] for label in found.label] == ["anger", "joy", "fear", "joy"]
    assert found.x["text"].flatten().tolist() == [0, 2, 4, 5]  # numbers of the utterances, in the order spoken
    assert found.x["audio"].shape == (4, 148)
    assert found.x["audio"][:, 0].tolist() == [1, 3, 2, 0]  # rows of the file
    assert found.present["visual"].tolist() == [True, True, False, True]
    assert found.speaker.tolist() == [0, 0, 0, 1]
    faces = found.x["visual"].reshape(4, 30, 2)
    assert torch.allclose(faces.mean(1), torch.zeros(4, 2), atol=1e-5)
    assert torch.allclose(faces.square().mean((1, 2)), torch.tensor([1.0, 1, 0, 1]), atol=1e-5)


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    features = whole(tmp_path)
    relabelled = replace(features, label=torch.full_like(features.label, MELD.index("sadness")))
    with pytest.raises(DataError, match="other labels"):
        read_trimodal(tmp_path, "dev", relabelled)
    write(tmp_path, [*SUBSET, (9, 0, "joy")])
    with pytest.raises(DataError, match="dialogue 9, utterance 0"):
        read_trimodal(tmp_path, "dev", features)

"""Features as files and as batches, and equal to those of the live encoders."""

from pathlib import Path

import numpy as np
import torch

from cberl.checkpoint import WEIGHTS
from cberl.data.dialogue import Dialogue, Line
from cberl.data.features import FeatureSet, extract, load_features, save_features
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig, AudioHistory
from cberl.encoders.text import TextEncoder, TextHistory

AUDIO = AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)


def features() -> FeatureSet:
    rows = torch.arange(6.0).unsqueeze(1)
    return FeatureSet(
        x={"text": rows, "audio": rows * 10},
        present={"text": torch.ones(6, dtype=torch.bool), "audio": torch.arange(6) % 2 == 0},
        speaker=torch.tensor([0, 1, 0, 0, 0, 1]),
        label=torch.tensor([0, 1, 2, 3, -1, 5]),
        lengths=torch.tensor([2, 1, 3]),
    )


def test_a_batch_holds_the_chosen_dialogues_in_the_order_chosen() -> None:
    batch, label = features().batch(torch.tensor([2, 0]))
    assert batch.x["text"].squeeze(1).tolist() == [3.0, 4.0, 5.0, 0.0, 1.0]
    assert batch.present["audio"].tolist() == [False, True, False, True, False]
    assert label.tolist() == [3, -1, 5, 0, 1]
    assert batch.lengths.tolist() == [3, 2]
    assert batch.dialogue.tolist() == [0, 0, 0, 1, 1]


def test_round_trip(tmp_path: Path) -> None:
    save_features(features(), tmp_path / "deep" / "file.safetensors")
    before, after = features(), load_features(tmp_path / "deep" / "file.safetensors")
    assert before.x.keys() == after.x.keys()
    for name in before.x:
        torch.testing.assert_close(after.x[name], before.x[name])
        assert torch.equal(after.present[name], before.present[name])
    assert torch.equal(after.label, before.label)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.safetensors"]


def test_extraction_equals_the_live_encoders_turn_by_turn() -> None:
    numbers = np.array([2.0, 60.0, 8.0, 150.0, 30.0, 90.0, 4.0, 9.0], dtype=np.float32)
    dialogues = [
        Dialogue(
            "d/0",
            (
                Line("ann", "Hi!", 4, 0, 1, numbers),
                Line("bob", "Go away.", 6, 1, 2),
                Line("ann", "Oh", 3, 2, 3, numbers * 2),
            ),
        ),
        Dialogue("d/1", (Line("bob", "Who is there?", 1, 0, 1, numbers),)),
    ]
    encoder = TextEncoder(WEIGHTS / "text")
    made = extract(dialogues, encoder, AudioEncoder(AUDIO))
    row = 0
    for dialogue in dialogues:
        said, heard = TextHistory(encoder.prompt), AudioHistory(AUDIO)
        for line in dialogue.lines:
            vector = encoder.encode([said.push(line.speaker, line.text)])[0]
            np.testing.assert_array_equal(made.x["text"][row].numpy(), vector)
            voice = None if line.prosody is None else heard.push(line.speaker, line.prosody)
            assert bool(made.present["audio"][row]) == (voice is not None)
            if voice is not None:
                np.testing.assert_array_equal(made.x["audio"][row].numpy(), voice)
            row += 1
    assert made.speaker.tolist() == [0, 1, 0, 0]
    assert made.lengths.tolist() == [3, 1]

"""A run is trained on the corpus and on its copy with recognition errors, also after the data were saved and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cberl.encoders.audio import AudioEncoderConfig
from cberl.training.core import runs
from cberl.training.core.recipe import load_recipe
from cberl.training.core.runs import Run, run_seed
from cberl.training.core.training_data import TrainingData
from testing.toys import features

TINY = ["train.epochs=1", "model.latent_dim=8", "model.hidden_dim=8", "model.heads=2", "compose.misheard=0.2"]


def test_a_copy_with_recognition_errors_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = features()
    corrupted = replace(written, x=written.x | {"text": written.x["text"] + 1})
    audio = AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)
    TrainingData(("a", "b", "c"), written, features(1), audio, "0", {}, asr_corrupted={0.2: corrupted}).save(tmp_path)
    data = TrainingData.load(tmp_path)
    trained_on = []

    class Watched(runs.Trainer):
        def __init__(self, config, train, *rest):  # type: ignore[no-untyped-def]
            trained_on.append(train)
            super().__init__(config, train, *rest)

    monkeypatch.setattr(runs, "Trainer", Watched)
    run = Run(load_recipe(None, TINY), 0, tmp_path / "run", "toy")
    run_seed(run, data, resume=False, report=lambda epoch: None)
    (shown,) = trained_on
    assert torch.equal(shown.x["text"], torch.cat([written.x["text"], corrupted.x["text"]]))
    assert torch.equal(shown.label, torch.cat([written.label, written.label]))
    assert shown.lengths.tolist() == [5] * 24

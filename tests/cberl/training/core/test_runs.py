"""A run is trained and selected on the corpus and its copy with recognition errors, also after saving and loading."""

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
    dev = features(1)
    dev_corrupted = replace(dev, x=dev.x | {"text": dev.x["text"] + 2})
    copies = {0.2: (corrupted, dev_corrupted)}
    TrainingData(("a", "b", "c"), written, dev, audio, "0", {}, asr_corrupted=copies).save(tmp_path)
    data = TrainingData.load(tmp_path)
    trained_on, selected_on = [], []

    class Watched(runs.Trainer):
        def __init__(self, config, train, dev, *rest):  # type: ignore[no-untyped-def]
            trained_on.append(train)
            selected_on.append(dev)
            super().__init__(config, train, dev, *rest)

    monkeypatch.setattr(runs, "Trainer", Watched)
    run = Run(load_recipe(None, TINY), 0, tmp_path / "run", "toy")
    run_seed(run, data, resume=False, report=lambda epoch: None)
    (shown,), (both,) = trained_on, selected_on
    assert torch.equal(both.x["text"], torch.cat([dev.x["text"], dev_corrupted.x["text"]]))
    assert torch.equal(shown.x["text"], torch.cat([written.x["text"], corrupted.x["text"]]))
    assert torch.equal(shown.label, torch.cat([written.label, written.label]))
    assert shown.lengths.tolist() == [5] * 24

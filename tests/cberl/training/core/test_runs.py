"""A run learns from what was misheard beside what was written, here and in another process."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cberl.encoders.audio import AudioEncoderConfig
from cberl.training.core import runs
from cberl.training.core.recipe import load_recipe
from cberl.training.core.runs import Material, Run, run_seed
from testing.toys import features

TINY = ["train.epochs=1", "model.latent_dim=8", "model.hidden_dim=8", "model.heads=2", "compose.misheard=0.2"]


def test_a_misheard_copy_is_learnt_from_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = features()
    heard = replace(written, x=written.x | {"text": written.x["text"] + 1})
    audio = AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)
    Material(("a", "b", "c"), written, features(1), audio, "0", {}, misheard={0.2: heard}).save(tmp_path)
    material = Material.load(tmp_path)
    taught = []

    class Watched(runs.Trainer):
        def __init__(self, config, train, *rest):  # type: ignore[no-untyped-def]
            taught.append(train)
            super().__init__(config, train, *rest)

    monkeypatch.setattr(runs, "Trainer", Watched)
    run = Run(load_recipe(None, TINY), 0, tmp_path / "run", "toy")
    run_seed(run, material, resume=False, report=lambda epoch: None)
    (shown,) = taught
    assert torch.equal(shown.x["text"], torch.cat([written.x["text"], heard.x["text"]]))
    assert torch.equal(shown.label, torch.cat([written.label, written.label]))
    assert shown.lengths.tolist() == [5] * 24

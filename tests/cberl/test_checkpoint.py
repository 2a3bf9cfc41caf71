"""Checkpoints are saved and loaded; errors say what to do."""

import json
from pathlib import Path

import pytest
import torch

from cberl.calibration import Calibration
from cberl.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from cberl.config import ModelConfig
from cberl.model import CBERL, Batch

CONFIG = ModelConfig(text_dim=6, audio_dim=8, latent_dim=8, hidden_dim=8, heads=2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    calibration = Calibration((0.0,) * 7, tau=0.3, temperature=1.2)
    Checkpoint("test", CBERL(CONFIG), calibration, {"text": {}}, {"corpus": "none"}).save(tmp_path)
    return tmp_path


def test_round_trip(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    torch.manual_seed(0)
    again = CBERL(CONFIG).eval()
    x = {"text": torch.ones(3, 6), "audio": torch.ones(3, 8)}
    has = {name: torch.ones(3, dtype=torch.bool) for name in x}
    batch = Batch(x, has, torch.tensor([0, 1, 0]), torch.tensor([3]))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(batch).logits, again(batch).logits, atol=0, rtol=0)
    assert loaded.calibration == Calibration((0.0,) * 7, 0.3, 1.2)
    assert (loaded.name, loaded.model.config) == ("test", CONFIG)


def test_another_format_says_what_to_do(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads format 1: train it again"):
        load_checkpoint(saved)


def test_weights_that_do_not_fit(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["model"]["hidden_dim"] = 16
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit its config.json"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_and_missing_files(saved: Path, name: str) -> None:
    (saved / name).write_bytes(b"{")
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(saved)

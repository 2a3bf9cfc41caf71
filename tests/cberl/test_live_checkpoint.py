"""A checkpoint as the live engine opens it: checked, and also from earlier versions."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cberl.calibration import Calibration
from cberl.checkpoint import Checkpoint
from cberl.checkpoint_files import CheckpointError
from cberl.config import ModelConfig
from cberl.live_checkpoint import load_live_checkpoint
from cberl.model import CBERL
from cberl.step.network import OnnxStep
from cberl.step.state import StepInput, initial_state
from cberl.streaming import TorchStep
from cberl.types import Float32
from engine.cli.app import cli

CONFIG = ModelConfig(text_dim=6, audio_dim=8, latent_dim=8, hidden_dim=8, heads=2)
INPUT = StepInput("ann", {"text": np.ones(6, np.float32)})


def save(folder: Path, config: ModelConfig = CONFIG) -> Path:
    torch.manual_seed(0)
    Checkpoint("tiny", CBERL(config).eval(), Calibration((0.0,) * 7)).save(folder)
    return folder


def first_logits(folder: Path) -> Float32:
    network = load_live_checkpoint(folder).network
    assert isinstance(network, OnnxStep)
    logits, _ = network.step([initial_state(CONFIG)], [INPUT])
    return logits


def of_an_earlier_version(folder: Path) -> Path:
    """The same without step.onnx."""
    save(folder)
    (folder / "step.onnx").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["step_sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_checkpoint_of_an_earlier_version_gives_the_same_and_can_be_given_its_step(tmp_path: Path) -> None:
    expected = first_logits(save(tmp_path / "new"))
    old = of_an_earlier_version(tmp_path / "old")
    np.testing.assert_array_equal(first_logits(old), expected)
    assert not (old / "step.onnx").exists()
    done = CliRunner().invoke(cli, ["export-step", str(old)])
    assert done.exit_code == 0, done.output
    for name in ("config.json", "step.onnx"):
        assert (old / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    np.testing.assert_array_equal(first_logits(old), expected)


def test_without_the_package_that_makes_it_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = of_an_earlier_version(tmp_path / "old")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CheckpointError, match=r"`cberl export-step .*`, .*: pip install 'cberl-engine\[train\]'"):
        load_live_checkpoint(old)
    done = CliRunner().invoke(cli, ["export-step", str(old)])
    assert (done.exit_code, done.output) == (
        1,
        "Error: onnx is not installed: pip install 'cberl-engine[train]'\n",
    )


def test_a_step_that_is_damaged_missing_or_of_another_network_is_refused(tmp_path: Path) -> None:
    saved = save(tmp_path / "tiny")
    whole = (saved / "step.onnx").read_bytes()
    (saved / "step.onnx").write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"step\.onnx is damaged or belongs to another config\.json"):
        load_live_checkpoint(saved)
    (saved / "step.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"step\.onnx is missing"):
        load_live_checkpoint(saved)
    (saved / "step.onnx").write_bytes(whole)
    config = json.loads((saved / "config.json").read_text())
    config["model"]["audio_dim"] = 9
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"step\.onnx does not fit its config\.json"):
        load_live_checkpoint(saved)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = CBERL(CONFIG).eval()
    torch.nn.init.constant_(model.to_graph.weight, torch.nan)
    Checkpoint("tiny", model, Calibration((0.0,) * 7)).save(tmp_path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_live_checkpoint(tmp_path)


def test_a_network_that_looks_ahead_has_no_step_and_one_for_comparison_runs_with_pytorch(tmp_path: Path) -> None:
    save(tmp_path)
    assert (tmp_path / "step.onnx").exists()
    save(tmp_path, replace(CONFIG, lookahead=1))
    assert not (tmp_path / "step.onnx").exists()
    with pytest.raises(CheckpointError, match="looks ahead"):
        load_live_checkpoint(tmp_path)
    save(tmp_path, replace(CONFIG, graph="gatv2"))
    assert isinstance(load_live_checkpoint(tmp_path).network, TorchStep)
    refused = CliRunner().invoke(cli, ["export-step", str(tmp_path)])
    assert "layers of the kind gatv2, which run with PyTorch alone" in refused.output

"""The exported networks give the same results with onnxruntime as in PyTorch, when called by the live encoders."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.logmel import log_mel
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.errors import EncoderError
from cberl.labels import MELD
from cberl.nn.expression import ExpressionNet
from cberl.nn.speech import SpeechNet
from cberl.training.encoders.export import export_expression, export_speech
from cberl.training.encoders.expression import ExpressionTraining
from cberl.training.encoders.speech import SpeechTraining

RATE = 16_000


def used(network: torch.nn.Module) -> torch.nn.Module:
    """Batch statistics and scales as after training: with initial values the test could not tell that they are lost."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    networks = {"expression": (ExpressionNet(), ExpressionTraining()), "speech": (SpeechNet(), SpeechTraining())}
    for name, (network, config) in networks.items():
        torch.save({"model": used(network).state_dict(), "config": asdict(config), "epoch": 3}, folder / f"{name}.pt")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance.treespec", FutureWarning)  # raised inside torch's exporter
        assert export_expression(folder / "expression.pt", folder, {"dev": {"accuracy": 50.0}}) < 4.0
        assert export_speech(folder / "speech.pt", folder, {}) < 4.0
    return folder


def network(folder: Path, name: str) -> torch.nn.Module:
    made = ExpressionNet() if name == "expression" else SpeechNet()
    made.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True)["model"])
    return made.eval()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_expression_is_equal_for_any_number_of_faces(exported: Path, count: int) -> None:
    faces = np.random.default_rng(count).integers(0, 256, (count, 48, 48), np.uint8)
    encoder, torch_side = ExpressionEncoder(exported), network(exported, "expression")
    with torch.inference_mode():
        expected, chances = torch_side.describe(torch.from_numpy(faces).float().unsqueeze(1))
    vectors, probabilities = encoder.encode(faces)
    assert vectors.shape == (count, encoder.dim - len(MELD))
    np.testing.assert_allclose(vectors, expected, atol=1e-3)
    np.testing.assert_allclose(probabilities, chances, atol=1e-3)
    for here, mirrored in zip((vectors, probabilities), encoder.encode(faces[:, :, ::-1]), strict=True):
        np.testing.assert_allclose(mirrored, here, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.3, 0.77, 2.0, 3.99])
def test_speech_emotion_is_equal_for_turns_of_any_length(exported: Path, seconds: float) -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
    torch_side = network(exported, "speech")
    with torch.inference_mode():
        expected = torch.cat(torch_side.describe(torch.from_numpy(log_mel(pcm)).unsqueeze(0)), dim=1)[0]
    np.testing.assert_allclose(SpeechEncoder(exported).describe(pcm), expected, atol=1e-3)


def test_settings_and_scores_are_exported_with_the_network(exported: Path) -> None:
    config = json.loads((exported / "expression.json").read_text())
    assert config["labels"] == list(MELD)
    assert config["training"]["epochs"] == ExpressionTraining().epochs
    assert config["scores"] == {"dev": {"accuracy": 50.0}}


def test_an_unusable_folder_is_one_sentence(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"speech.onnx is missing: make it with `cberl train-encoder speech`"):
        SpeechEncoder(tmp_path)
    (tmp_path / "speech.onnx").write_bytes((exported / "speech.onnx").read_bytes())
    (tmp_path / "speech.json").write_text(json.dumps({"dim": 64, "labels": ["happy", "sad"]}))
    with pytest.raises(EncoderError, match="has labels happy, sad; this encoder needs neutral"):
        SpeechEncoder(tmp_path)

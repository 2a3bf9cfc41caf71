"""The exported networks give the same results with onnxruntime as in PyTorch, when called by the live encoders."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.errors import EncoderError
from cberl.labels import MELD
from cberl.nn.expression import ExpressionNet
from cberl.onnx import open_session
from cberl.training.encoders.export import export_expression, export_states, load_states
from cberl.training.encoders.expression import ExpressionTraining, load_expression


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
    networks = {"expression": (ExpressionNet(), ExpressionTraining())}
    for name, (network, config) in networks.items():
        torch.save({"model": used(network).state_dict(), "config": asdict(config), "epoch": 3}, folder / f"{name}.pt")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance.treespec", FutureWarning)  # raised inside torch's exporter
        assert export_expression(folder / "expression.pt", folder, {"dev": {"accuracy": 50.0}}) < 4.0
    return folder


@pytest.fixture(scope="module")
def whisper(shared: Path) -> Path:
    return shared / "models/whisper-tiny.en-encoder/model.safetensors"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_expression_is_equal_for_any_number_of_faces(exported: Path, count: int) -> None:
    faces = np.random.default_rng(count).integers(0, 256, (count, 48, 48), np.uint8)
    encoder, torch_side = ExpressionEncoder(exported), load_expression(exported / "expression.pt")
    with torch.inference_mode():
        expected, chances = torch_side.describe(torch.from_numpy(faces).float().unsqueeze(1))
    vectors, probabilities = encoder.encode(faces)
    assert vectors.shape == (count, encoder.dim - len(MELD))
    np.testing.assert_allclose(vectors, expected, atol=1e-3)
    np.testing.assert_allclose(probabilities, chances, atol=1e-3)
    for here, mirrored in zip((vectors, probabilities), encoder.encode(faces[:, :, ::-1]), strict=True):
        np.testing.assert_allclose(mirrored, here, atol=1e-4)


@pytest.mark.parametrize("windows", [(1, 15), (2, 150)])
def test_states_are_equal_for_windows_of_any_number_and_length(tmp_path_factory, whisper: Path, windows) -> None:
    network = tmp_path_factory.mktemp("states") / "speech.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # raised inside torch's exporter
        export_states(whisper, network)
    assert network.stat().st_size < 5e6
    count, frames = windows
    mel = torch.randn(count, 80, 2 * frames, generator=torch.Generator().manual_seed(0))
    voiced = (torch.arange(frames) < frames - 5).float().expand(count, -1)
    with torch.inference_mode():
        expected = load_states(whisper)(mel, voiced)
    (states,) = open_session(network).run(["states"], {"mel": mel.numpy(), "voiced": voiced.numpy()})
    error = np.linalg.norm(states - expected.numpy(), axis=1) / np.linalg.norm(expected.numpy(), axis=1)
    assert error.max() < 0.03  # products in int8


def test_states_are_those_of_whisper(whisper: Path) -> None:
    """As transformers computes them with the same weights."""
    model = load_states(whisper)
    config = WhisperConfig(
        d_model=384, encoder_layers=2, encoder_attention_heads=6, encoder_ffn_dim=1536, max_source_positions=150
    )
    reference = WhisperEncoder(config).eval()
    reference.load_state_dict(model.state_dict(), strict=False)  # which has a last norm beside
    mel = torch.randn(2, 80, 300, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        hidden = reference(mel, output_hidden_states=True).hidden_states
        layers = [hidden[1], reference.layers[1](hidden[1], None)]
        layers = [one[0] if isinstance(one, tuple) else one for one in layers]
        states = model(mel, torch.ones(2, 150))
    torch.testing.assert_close(states, torch.cat(layers, dim=2).mean(dim=1), atol=1e-4, rtol=0)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"encoder.conv1.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match=r"is not the encoder of Whisper tiny.en"):
        export_states(tmp_path / "model.safetensors", tmp_path / "speech.onnx")


def test_settings_and_scores_are_exported_with_the_network(exported: Path) -> None:
    config = json.loads((exported / "expression.json").read_text())
    assert config["labels"] == list(MELD)
    assert config["training"]["epochs"] == ExpressionTraining().epochs
    assert config["scores"] == {"dev": {"accuracy": 50.0}}


def test_an_unusable_folder_is_one_sentence(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"speech.onnx is missing: make it with `cberl train-encoder speech`"):
        SpeechEncoder(tmp_path)
    (tmp_path / "expression.onnx").write_bytes((exported / "expression.onnx").read_bytes())
    (tmp_path / "expression.json").write_text(json.dumps({"dim": 64, "labels": ["happy", "sad"]}))
    with pytest.raises(EncoderError, match="has labels happy, sad; this encoder needs neutral"):
        ExpressionEncoder(tmp_path)

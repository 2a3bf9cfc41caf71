"""Exports the networks of `cberl.encoders` to ONNX: the expression network, and Whisper's first layers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cberl.errors import EncoderError, train_extra
from cberl.labels import MELD
from cberl.nn.expression import ExpressionNet
from cberl.nn.speech import POSITIONS, WhisperStates
from cberl.training.encoders.expression import load_expression
from cberl.training.int8 import SCALE, SUMS, quantise


class _Described(nn.Module):
    """Returns vector and probabilities."""

    def __init__(self, network: ExpressionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.describe(x)


def export_expression(best: Path, out: Path, scores: dict[str, Any]) -> float:
    """`best.pt` of `train_expression` -> `expression.onnx` and `expression.json` in `out`. Returns the size in MB."""
    network = out / "expression.onnx"
    batch = torch.export.Dim("batch", max=1024)
    faces, outputs = torch.zeros(2, 1, 48, 48), ["vector", "probabilities"]
    _export(_Described(load_expression(best)), {"faces": faces}, outputs, ({0: batch},), network)
    state = torch.load(best, weights_only=True)
    config = {
        "dim": 64,
        "labels": list(MELD),
        "training": state["config"],
        "epoch": state["epoch"],
        "scores": scores,
    }
    network.with_suffix(".json").write_text(json.dumps(config, indent=2) + "\n")
    return network.stat().st_size / 1e6


def export_states(whisper: Path, network: Path) -> None:
    """The safetensors of Whisper tiny.en (or of its encoder) -> an ONNX file of `WhisperStates` in int8.

    Raises `EncoderError` for other weights.
    """
    batch, frames = torch.export.Dim("batch", max=64), torch.export.Dim("frames", min=5, max=POSITIONS)
    given = {"mel": torch.zeros(2, 80, 100), "voiced": torch.ones(2, 50)}
    _export(load_states(whisper), given, ["states"], ({0: batch, 2: 2 * frames}, {0: batch, 1: frames}), network)
    quantise(network, network)
    _store_in_16_bits(network)


def load_states(whisper: Path) -> WhisperStates:
    """The first layers of Whisper tiny.en, in evaluation mode. Raises `EncoderError` for other weights."""
    model = WhisperStates()
    try:
        stored = {name.split("encoder.")[-1]: values.float() for name, values in load_file(whisper).items()}
        stored["embed_positions.weight"] = stored["embed_positions.weight"][:POSITIONS]
        model.load_state_dict({name: stored[name] for name in model.state_dict()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise EncoderError(
            f"{whisper} is not the encoder of Whisper tiny.en in safetensors (openai/whisper-tiny.en): {error}"
        ) from error
    return model.eval()


def _export(model: nn.Module, given: dict[str, Tensor], outputs: list[str], shapes: Any, network: Path) -> None:
    with train_extra():
        import onnxscript  # noqa: F401  # `torch.onnx.export` needs it
    network.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model.eval(),
        tuple(given.values()),
        network,
        input_names=list(given),
        output_names=outputs,
        dynamic_shapes=shapes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _store_in_16_bits(network: Path) -> None:
    """Weights in float32 take half the size; onnxruntime converts them back once, when it loads them."""
    with train_extra():
        import onnx
    model = onnx.load(network)
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 1000 and not weight.name.endswith((SCALE, SUMS)):
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.16"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.16"], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.save(model, network)

"""Exports the trained speech emotion and expression networks to ONNX, for `cberl.encoders`."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cberl.errors import train_extra
from cberl.labels import MELD
from cberl.nn.expression import ExpressionNet
from cberl.nn.speech import SpeechNet
from cberl.training.encoders.expression import load_expression
from cberl.training.encoders.speech import load_speech


class _Described(nn.Module):
    """Returns vector and probabilities."""

    def __init__(self, network: ExpressionNet | SpeechNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.describe(x)


def export_expression(best: Path, out: Path, scores: dict[str, Any]) -> float:
    """`best.pt` of `train_expression` -> `expression.onnx` and `expression.json` in `out`. Returns the size in MB."""
    faces = torch.zeros(2, 1, 48, 48)
    shape = {"faces": {0: torch.export.Dim("batch", max=1024)}}
    return _export(_Described(load_expression(best)), faces, shape, best, out / "expression", scores)


def export_speech(best: Path, out: Path, scores: dict[str, Any]) -> float:
    """`best.pt` of `train_speech` -> `speech.onnx` and `speech.json` in `out`. Returns the size in MB."""
    frames = torch.zeros(1, 200, 64)
    shape = {"frames": {1: torch.export.Dim("time", min=9, max=100_000)}}
    return _export(_Described(load_speech(best)), frames, shape, best, out / "speech", scores)


def _export(
    model: _Described, example: Tensor, shape: dict[str, Any], best: Path, out: Path, scores: dict[str, Any]
) -> float:
    with train_extra():
        import onnxscript  # noqa: F401  # `torch.onnx.export` needs it
    out.parent.mkdir(parents=True, exist_ok=True)
    ((name, dims),) = shape.items()
    network = out.with_suffix(".onnx")
    torch.onnx.export(
        model.eval(),
        (example,),
        network,
        input_names=[name],
        output_names=["vector", "probabilities"],
        dynamic_shapes=(dims,),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    state = torch.load(best, weights_only=True)
    config = {
        "dim": 64,
        "labels": list(MELD),
        "training": state["config"],
        "epoch": state["epoch"],
        "scores": scores,
    }
    out.with_suffix(".json").write_text(json.dumps(config, indent=2) + "\n")
    return network.stat().st_size / 1e6

"""Exports the fine-tuned text encoder to int8 ONNX, as `cberl.encoders.text` reads it."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from cberl.labels import MELD
from cberl.training.text_encoder import TextClassifier, load_minilm


class _Vector(nn.Module):
    """Only the pooled vector; the classification head stays behind."""

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.classifier.vector(input_ids, attention_mask, token_type_ids)


def export(best: Path, out: Path) -> dict[str, float]:
    """`best.pt` of `finetune` -> `text.onnx`, `tokenizer.json`, `text.json` in `out`. Returns the sizes in MB."""
    state = torch.load(best, weights_only=True)
    encoder, folder = load_minilm()
    model = TextClassifier(encoder, 384, len(MELD), 0.0)
    model.load_state_dict(state["model"])
    model.eval()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.onnx"
        _to_onnx(_Vector(model), full)
        _quantize(full, out / "text.onnx")
        sizes = {"float32_mb": full.stat().st_size / 1e6, "int8_mb": (out / "text.onnx").stat().st_size / 1e6}
    shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    config = {
        "dim": 384,
        "max_tokens": state["config"]["max_tokens"],
        "past_turns": state["config"]["past_turns"],
        "training": state["config"],
        "dev": state["dev"],
    }
    (out / "text.json").write_text(json.dumps(config, indent=2) + "\n")
    return sizes


def _to_onnx(model: nn.Module, path: Path) -> None:
    ids = torch.ones(2, 12, dtype=torch.long)
    types = torch.zeros_like(ids)
    types[:, 6:] = 1
    names = ["input_ids", "attention_mask", "token_type_ids"]
    shape = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("tokens", max=512)}
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids), types),
        path,
        input_names=names,
        output_names=["vector"],
        dynamic_shapes=dict.fromkeys(names, shape),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # 7-bit weights: on CPUs without VNNI, 8-bit products would overflow their 16-bit sums.
    quantize_dynamic(source, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)

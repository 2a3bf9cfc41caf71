"""Exports the fine-tuned text encoder to int8 ONNX, as `cberl.encoders.text` reads it, and says what int8 costs."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cberl.encoders.text import TextEncoder
from cberl.metrics import Scores, score
from cberl.training.text.checkpoint import load
from cberl.training.text.classifier import TextClassifier
from cberl.training.text.finetune import Task, dev_inputs, dev_scores

SMALLEST = 256  # matrices with no side as long stay float32: they weigh nothing
LARGEST_LAYER = 10_000  # only the vocabulary has more rows


class _Vector(nn.Module):
    """Only the pooled vector; the classification head stays behind."""

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.classifier.vector(input_ids, attention_mask, token_type_ids)


def export(trained: Path, out: Path) -> dict[str, float]:
    """An `epoch-N.pt` of `finetune` -> `text.onnx`, `tokenizer.json`, `text.json` in `out`. Returns the sizes in MB."""
    model, state, folder = load(trained)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.onnx"
        _to_onnx(_Vector(model).eval(), full)
        _quantize(full, out / "text.onnx")
        sizes = {"float32_mb": full.stat().st_size / 1e6, "int8_mb": (out / "text.onnx").stat().st_size / 1e6}
    shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    config = {
        "dim": model.width,
        "max_tokens": state["config"]["max_tokens"],
        "past_turns": state["config"]["past_turns"],
        "corpora": list(state["classes"]),
        "training": state["config"],
        "epoch": state["epoch"],
        "dev": state["dev"],
    }
    (out / "text.json").write_text(json.dumps(config, indent=2) + "\n")
    return sizes


def cost(trained: Path, exported: Path, task: Task) -> tuple[Scores, Scores]:
    """On a task's dev, by the head that stays behind: scores in float32, and of what `export` left in `exported`.

    Raises `ValueError` when there is no head for the task.
    """
    model, _, _ = load(trained)
    if task.corpus not in model.classes:
        raise ValueError(f"{trained} knows {', '.join(model.classes)}, not {task.corpus}: leave --data away")
    encoder = TextEncoder(exported, threads=torch.get_num_threads())
    inputs, labels = dev_inputs(task, encoder.prompt)
    with torch.inference_mode():
        stored = model.heads[task.corpus](torch.from_numpy(np.stack(encoder.encode(inputs))))
    int8 = score(labels, stored.argmax(1).numpy(), task.labels)
    return dev_scores(model, task, encoder.prompt, exact=True), int8


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
    """Stores weights as int8 with a scale a row (embeddings) or a column (products); computation stays float32.

    Quantised activations would be twice as fast, but cost 1.5 points of weighted F1 on MELD dev, and let one row of a
    batch change its neighbours.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    floats = [one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) == 2]
    for weight in [one for one in floats if max(one.dims) >= SMALLEST]:
        values = numpy_helper.to_array(weight)
        axis = 0 if values.shape[0] > LARGEST_LAYER else 1
        scale = np.maximum(np.abs(values).max(axis=1 - axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        int8 = np.round(values / scale).astype(np.int8)
        stored, scales = f"{weight.name}.int8", f"{weight.name}.scale"
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(int8, stored))
        graph.initializer.append(numpy_helper.from_array(scale.squeeze(1 - axis), scales))
        graph.node.insert(0, helper.make_node("DequantizeLinear", [stored, scales], [weight.name], axis=axis))
    onnx.save(model, target)

"""Exports the fine-tuned text encoder to ONNX in int8, for `cberl.encoders.text`, and measures the loss."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cberl.encoders.text import TextEncoder
from cberl.errors import TrainingError, train_extra
from cberl.metrics import Scores, score
from cberl.training.int8 import quantise
from cberl.training.text.checkpoint import load
from cberl.training.text.classifier import TextClassifier
from cberl.training.text.finetune import dev_inputs, dev_scores
from cberl.training.text.task import Task


class _Vector(nn.Module):
    """The pooled vector, without the classification head."""

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.classifier.vector(input_ids, attention_mask, token_type_ids)


def export(trained: Path, out: Path) -> dict[str, float]:
    """An `epoch-N.pt` of `finetune` -> `text.onnx`, `tokenizer.json`, `text.json` in `out`. Returns the sizes in MB."""
    with train_extra():
        import onnx  # noqa: F401  # missing only after minutes of tracing otherwise
        import onnxscript  # noqa: F401
    model, state, folder = load(trained)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.onnx"
        _to_onnx(_Vector(model).eval(), full)
        quantise(full, out / "text.onnx")
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
    """Scores of the classification head on a task's dev: in float32, and with the encoder that `export` wrote.

    Raises `TrainingError` if there is no head for the task.
    """
    model, _, _ = load(trained)
    if task.corpus not in model.classes:
        raise TrainingError(f"{trained} has heads for {', '.join(model.classes)}, not {task.corpus}: omit --data")
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

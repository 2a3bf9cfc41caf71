"""Restores an exported text encoder to train it further, with a head fitted to its vectors: the inverse of `export`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cberl.encoders.text import TextEncoder, encoder_files
from cberl.errors import TrainingError, train_extra
from cberl.losses import class_weights, focal_loss
from cberl.metrics import Scores
from cberl.training.int8 import PRODUCT, factor, float_weights
from cberl.training.text.checkpoint import TextTraining, load_config, prompt_of, save
from cberl.training.text.classifier import TextClassifier, examples, load_base
from cberl.training.text.finetune import dev_scores
from cberl.training.text.task import Task

DECAY = 1e-4  # L2 penalty of the fitted head


def restore(exported: Path, task: Task, out: Path) -> Scores:
    """The folder that `export` wrote -> an `epoch-N.pt`, `out`, with a head for the task. Returns its scores on dev.

    The weights are those stored as int8. The head is a logistic regression on the vectors of the task's train, with
    the class weights of the encoder's own training. Raises `EncoderError`, or `TrainingError` for an encoder that
    `export` did not write.
    """
    *_, about = encoder_files(exported)
    config, epoch = load_config(about)
    encoder, folder = load_base(config.base)
    model = TextClassifier(encoder, {task.corpus: len(task.labels)})
    missing, unknown = model.load_state_dict(_encoder_weights(exported), strict=False)
    if unknown or any(name.startswith("encoder.") and ".pooler." not in name for name in missing):
        raise TrainingError(f"{exported} does not hold an encoder of the architecture {config.base}")
    head = model.heads[task.corpus]
    head.load_state_dict(_fitted_head(exported, task, config))
    scores = dev_scores(model, task, prompt_of(config, folder), exact=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(out, model, model.classes, config, epoch, scores)
    return scores


def _encoder_weights(exported: Path) -> dict[str, Tensor]:
    """Parameters by name. A matrix of a linear layer lost its name and was transposed: its bias identifies it."""
    with train_extra():
        import onnx

    network, *_ = encoder_files(exported)
    model = onnx.load(network)
    found = float_weights(model)
    made_by = {output: node for node in model.graph.node for output in node.output}
    weights = {
        name: value
        for name, value in found.items()
        if name.startswith("classifier.encoder.") and name.endswith((".weight", ".bias"))
    }
    for node in model.graph.node:
        for bias in (name for name in node.input if name.endswith(".bias") and node.op_type == "Add"):
            (product,) = (made_by.get(name) for name in node.input if name != bias)
            if product is not None and product.op_type in ("MatMul", PRODUCT):
                weights[bias.removesuffix("bias") + "weight"] = found[factor(product)].T
    return {name.removeprefix("classifier."): torch.from_numpy(value.copy()) for name, value in weights.items()}


def _fitted_head(exported: Path, task: Task, config: TextTraining) -> dict[str, Tensor]:
    encoder = TextEncoder(exported, threads=torch.get_num_threads())
    rows = examples(task.train, config.past_turns)
    inputs = [encoder.prompt.build(one.past, one.speaker, one.text) for one in rows]
    vectors = torch.from_numpy(np.stack(encoder.encode(inputs)))  # (N, dim)
    labels = torch.tensor([one.label for one in rows])
    classes = class_weights(torch.bincount(labels, minlength=len(task.labels)), config.class_weight_power)
    weight = torch.zeros(len(task.labels), encoder.dim, requires_grad=True)
    bias = torch.zeros(len(task.labels), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = F.linear(vectors, weight, bias)
        total = focal_loss(logits, labels, weight=classes, smoothing=config.label_smoothing)
        total = total + DECAY * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return {"weight": weight.detach(), "bias": bias.detach()}

"""Shared by the training of the small networks: a learning rate schedule, a moving average, and resuming."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def warm_cosine(step: int, steps: int, warmup: float) -> float:
    """The factor of the learning rate: linear warm-up over a share `warmup` of all steps, then a cosine to zero."""
    warm = max(1.0, warmup * steps)
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, steps - warm))))


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of weights and batch statistics, with a shorter memory in the first steps."""

    def update(average: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        return average.mul(keep).add(now, alpha=1 - keep) if average.is_floating_point() else now

    return AveragedModel(model, avg_fn=update, use_buffers=True)


def resume(path: Path, parts: dict[str, Any]) -> tuple[int, float]:
    """Restores `parts` from `path` if it exists. Returns the epoch to start with, and the best dev score so far."""
    if not path.is_file():
        return 0, -math.inf
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["epoch"]) + 1, float(state["best"])

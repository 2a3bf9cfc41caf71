"""How far apart emotions lie in the network's states: a map in two dimensions and one number."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cberl.checkpoint import Checkpoint
from cberl.data.features import FeatureSet
from cberl.model import Output

_ROWS = 1024  # distances at once


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Labelled utterances in two dimensions. points: (N, 2); label: int[N]; silhouette: of the states as they were."""

    title: str
    points: NDArray[np.float32]
    label: NDArray[np.int64]
    silhouette: float


@torch.inference_mode()
def states(checkpoint: Checkpoint, features: FeatureSet) -> Output:
    """All that the network makes of the split."""
    checkpoint.model.eval()
    output: Output = checkpoint.model(features.whole()[0])
    return output


def map_of(title: str, points: Tensor, label: Tensor) -> Map:
    """points (N, dim), label int[N], negative = none."""
    known = label >= 0
    shown = points[known].float()
    return Map(title, project(shown).numpy(), label[known].numpy(), round(silhouette(shown, label[known]), 4))


def project(points: Tensor) -> Tensor:
    """The two principal components: (N, dim) -> (N, 2). Labels have no part in it."""
    centred = points - points.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]  # (2, dim)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()  # an axis has no direction of its own: this one is always the same
    return torch.mm(centred, axes.T)


def silhouette(points: Tensor, label: Tensor) -> float:
    """Mean silhouette, -1..1: (N, dim), int[N] (Rousseeuw 1987). Alone in its class a point counts 0.

    (b - a) / max(a, b) a point, where a is its mean distance to its own class and b that to the nearest other one.
    """
    own = torch.nn.functional.one_hot(label).double()
    own = own[:, own.any(0)]  # (N, C), of classes that occur
    if own.shape[1] < 2:
        return 0.0
    points, count = points.double(), own.sum(0)
    totals = torch.cat([torch.cdist(rows, points) @ own for rows in points.split(_ROWS)])  # (N, C)
    mine = own.bool()
    others = count[None].expand_as(totals)[mine] - 1
    a = totals[mine] / others.clamp(min=1)
    b = (totals / count).masked_fill(mine, torch.inf).amin(1)
    each = torch.where(others > 0, (b - a) / torch.maximum(a, b).clamp(min=1e-12), 0.0)
    return float(each.mean())

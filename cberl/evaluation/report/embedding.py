"""The separation of emotions in the network's states: a map in two dimensions, and the silhouette."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cberl.checkpoint import Checkpoint
from cberl.data.features import FeatureSet
from cberl.model import Output
from cberl.types import Float32

_ROWS = 1024  # of the distance matrix, at a time


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Labelled utterances in two dimensions. points: (N, 2); label: int[N]; silhouette: in all dimensions."""

    title: str
    points: Float32
    label: NDArray[np.int64]
    silhouette: float


@torch.inference_mode()
def states(checkpoint: Checkpoint, features: FeatureSet) -> Output:
    """The network's output on the split, with its intermediate states."""
    checkpoint.model.eval()
    output: Output = checkpoint.model(features.whole()[0])
    return output


def map_of(title: str, points: Tensor, label: Tensor) -> Map:
    """points (N, dim), label int[N], negative = none."""
    known = label >= 0
    shown = points[known].float()
    return Map(title, project(shown).numpy(), label[known].numpy(), round(silhouette(shown, label[known]), 4))


def project(points: Tensor) -> Tensor:
    """The first two principal components: (N, dim) -> (N, 2)."""
    centred = points - points.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]  # (2, dim)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()  # the sign of a component is arbitrary: this makes it deterministic
    return torch.mm(centred, axes.T)


def silhouette(points: Tensor, label: Tensor) -> float:
    """Mean silhouette, -1..1: (N, dim), int[N] (Rousseeuw 1987). A point that is alone in its class counts 0.

    Per point it is (b - a) / max(a, b), with a the mean distance to its own class and b that to the nearest other one.
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

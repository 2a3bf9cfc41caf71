"""Losses of classification under imbalance."""

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_loss(
    logits: Tensor, labels: Tensor, *, gamma: float = 0.0, weight: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Mean of -w_y (1 - p_y)^gamma log p_y over labelled rows (Lin et al. 2017, arXiv 1708.02002).

    logits (N, C); labels int[N], negative = unlabelled, ignored; weight (C,). gamma 0 is cross-entropy. The mean is
    over the weights, as in `torch.nn.functional.cross_entropy`.
    """
    labelled = labels >= 0
    logits, labels = logits[labelled], labels[labelled]
    log_p = F.log_softmax(logits, dim=-1)
    nll = F.nll_loss(log_p, labels, reduction="none")
    if smoothing:
        nll = (1 - smoothing) * nll - smoothing * log_p.mean(-1)
    focus = (1 - log_p.gather(1, labels.unsqueeze(1)).squeeze(1).exp()) ** gamma
    weights = torch.ones_like(nll) if weight is None else weight[labels]
    return (weights * focus * nll).sum() / weights.sum().clamp(min=1e-8)


def class_weights(counts: Tensor, power: float) -> Tensor:
    """(C,) counts -> (C,) weights proportional to count^-power with mean 1 over examples; 0 for classes never seen."""
    seen = counts > 0
    weights = torch.where(seen, counts.clamp(min=1).float() ** -power, torch.zeros(()))
    return weights * counts.sum() / (weights * counts).sum()

"""Losses: classification under imbalance, variational terms, masked reconstruction, and supervised contrast."""

import torch
import torch.nn.functional as F
from torch import Tensor

Gaussian = tuple[Tensor, Tensor]  # mean and log variance, each (N, D)


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


def soft_cross_entropy(logits: Tensor, shares: Tensor, weight: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean of -sum_c w_c s_c log p_c over rows, for labels that hold in part.

    logits (N, C); shares (N, C), of each row 1 in sum, or 0 if it has no label; weight (C,). The mean is over the
    weights, so it equals weighted cross-entropy where each row has one label; 0 if no row has any.
    """
    log_p = F.log_softmax(logits, dim=-1)
    weights = shares * weight  # (N, C)
    total = -(1 - smoothing) * (weights * log_p).sum() - smoothing * (weights.sum(1) * log_p.mean(-1)).sum()
    return total / weights.sum().clamp(min=1e-8)


def class_weights(counts: Tensor, power: float) -> Tensor:
    """(C,) counts -> (C,) weights proportional to count^-power, with mean 1 over examples; 0 for empty classes."""
    seen = counts > 0
    weights = torch.where(seen, counts.clamp(min=1).float() ** -power, torch.zeros(()))
    return weights * counts.sum() / (weights * counts).sum().clamp(min=1e-8)


def gaussian_kl(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q || p) of diagonal Gaussians, in nats, averaged over the D dimensions -> (N,)."""
    (q_mean, q_log_variance), (p_mean, p_log_variance) = q, p
    ratio = q_log_variance - p_log_variance
    distance = (q_mean - p_mean) ** 2 * torch.exp(-p_log_variance)
    return 0.5 * (ratio.exp() + distance - 1 - ratio).mean(-1)


def prior_kl(q: Gaussian) -> Tensor:
    """KL(q || N(0, 1)), in nats, averaged over the D dimensions -> (N,)."""
    return gaussian_kl(q, (torch.zeros_like(q[0]), torch.zeros_like(q[1])))


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of values (N,) over the rows where bool (N,) holds; 0 if it holds nowhere. Other rows may be NaN."""
    return values.masked_fill(~where, 0.0).sum() / where.sum().clamp(min=1)


def scaled_cosine_error(predicted: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Mean of (1 - cos)^gamma over rows (N, D); gamma above 1 reduces the weight of easy rows (arXiv 2205.10803)."""
    return ((1 - F.cosine_similarity(predicted, target, dim=-1)) ** gamma).mean()


def supervised_contrastive(points: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """L_out of Khosla et al. 2020 (arXiv 2004.11362): attracts rows of one class and repels all others.

    points (N, D) of length 1; labels int[N], negative = unlabelled, ignored. The mean is over rows with another row of
    their class; 0 if there are none.
    """
    labelled = labels >= 0
    points, labels = points[labelled], labels[labelled]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similarity = (points @ points.T / temperature).masked_fill(itself, float("-inf"))  # (N, N)
    log_p = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    alike = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    attraction = log_p.masked_fill(~alike, 0.0).sum(1) / alike.sum(1).clamp(min=1)
    return -masked_mean(attraction, alike.any(1))

"""Choosing a calibration on dev, and measures of how good it is."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cberl.calibration import Calibration


def log_prior(labels: Tensor, classes: int) -> tuple[float, ...]:
    """Log frequency of each class in labels int[N], with add-one smoothing, so that none is -inf."""
    counts = torch.bincount(labels[labels >= 0], minlength=classes).double() + 1
    return tuple((counts / counts.sum()).log().tolist())


def fit_temperature(logits: Tensor, labels: Tensor, calibration: Calibration) -> float:
    """The temperature with the least cross-entropy on labelled rows, by grid search."""
    grid: list[float] = torch.logspace(-0.7, 0.7, 141).tolist()  # 0.2 .. 5
    labelled = labels >= 0

    def nll(temperature: float) -> float:
        tried = Calibration(calibration.log_prior, calibration.tau, temperature)
        p = torch.from_numpy(tried.probabilities(logits[labelled].double().numpy()))
        return float(F.nll_loss(p.log(), labels[labelled]))

    return min(grid, key=nll)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Equal-width bins of the top probability, (bins,) each; confidence and accuracy are NaN in empty bins."""

    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """The points of a reliability diagram: (N, C), int[N], every row labelled."""
    confidence, predicted = probabilities.double().max(-1)
    which = (confidence * bins).long().clamp(max=bins - 1)

    def total(values: Tensor) -> Tensor:
        return torch.zeros(bins, dtype=torch.double).index_add(0, which, values.double())

    count = total(torch.ones_like(confidence))
    return Reliability(total(confidence) / count, total(predicted == labels) / count, count.long())


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """ECE over equal-width bins of the top probability: (N, C), int[N] -> 0..1 (Naeini et al. 2015)."""
    found = reliability(probabilities, labels, bins)
    gap = (found.accuracy - found.confidence).abs().nan_to_num() * found.count
    return float(gap.sum() / len(labels))


def maximum_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """MCE: the largest gap of all bins that are not empty: (N, C), int[N] -> 0..1."""
    found = reliability(probabilities, labels, bins)
    return float((found.accuracy - found.confidence).abs().nan_to_num().max())


def threshold_at_coverage(confidence: Tensor, coverage: float) -> float:
    """The largest threshold that at least a share `coverage` of confidences (N,) reaches; 0 for a coverage of 1.

    Raises `ValueError` if coverage is not in (0, 1].
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, not {coverage}")
    if coverage == 1:
        return 0.0
    kept = math.ceil(coverage * len(confidence) - 1e-9)  # 0.7 * 10 is 7.000000000000001
    return float(confidence.sort(descending=True).values[kept - 1])


def risk_coverage(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Coverage (share of rows kept) and risk (share of them that is wrong) for every threshold, from the highest.

    (N, C), int[N], every row labelled -> (K,) each, 0..1, where K <= N is the number of distinct confidences
    (El-Yaniv & Wiener 2010).
    """
    confidence, predicted = probabilities.max(-1)
    confidence, order = confidence.sort(descending=True)
    wrong = (predicted != labels)[order].double().cumsum(0)
    kept = torch.arange(1, len(labels) + 1, dtype=torch.double)
    last = torch.ones_like(confidence, dtype=torch.bool)  # rows of equal confidence are kept or dropped together
    last[:-1] = confidence[:-1] > confidence[1:]
    return kept[last] / len(labels), wrong[last] / kept[last]

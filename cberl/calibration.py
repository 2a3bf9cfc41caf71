"""From logits to probabilities one can act on: logit adjustment, a temperature, and how sure is sure; chosen on dev."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Calibration:
    """probabilities = softmax((logits - tau * log_prior) / temperature); `log_prior` has one number a class.

    tau moves decisions towards rare classes (Menon et al. 2021, arXiv 2007.07314); temperature changes none (Guo et al.
    2017, arXiv 1706.04599). A decision whose probability is below `uncertain_below` is uncertain; 0 = none is.
    """

    log_prior: tuple[float, ...]
    tau: float = 0.0
    temperature: float = 1.0
    uncertain_below: float = 0.0

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C)"""
        return F.softmax(self._adjusted(logits) / self.temperature, dim=-1)

    def decide(self, logits: Tensor) -> Tensor:
        """(N, C) -> the chosen class, int[N]."""
        return self._adjusted(logits).argmax(-1)

    def uncertain(self, probabilities: Tensor) -> Tensor:
        """(N, C) from `probabilities` -> bool (N,)."""
        return probabilities.amax(-1) < self.uncertain_below

    def _adjusted(self, logits: Tensor) -> Tensor:
        return logits - self.tau * torch.tensor(self.log_prior, dtype=logits.dtype, device=logits.device)


def log_prior(labels: Tensor, classes: int) -> tuple[float, ...]:
    """Log frequency of each class in labels int[N]; one count is added to each, so that none is -inf."""
    counts = torch.bincount(labels[labels >= 0], minlength=classes).double() + 1
    return tuple((counts / counts.sum()).log().tolist())


def fit_temperature(logits: Tensor, labels: Tensor, calibration: Calibration) -> float:
    """The temperature with the least cross-entropy on labelled rows, from a fine grid."""
    grid: list[float] = torch.logspace(-0.7, 0.7, 141).tolist()  # 0.2 .. 5
    labelled = labels >= 0

    def nll(temperature: float) -> float:
        tried = Calibration(calibration.log_prior, calibration.tau, temperature)
        p = tried.probabilities(logits[labelled].double())
        return float(F.nll_loss(p.log(), labels[labelled]))

    return min(grid, key=nll)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Equal-width bins of the top probability: how sure, how often right, how many; (bins,), NaN where none."""

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
    """MCE: the largest gap of any bin that is not empty, however few are in it: (N, C), int[N] -> 0..1."""
    found = reliability(probabilities, labels, bins)
    return float((found.accuracy - found.confidence).abs().nan_to_num().max())


def threshold_at_coverage(confidence: Tensor, coverage: float) -> float:
    """The largest threshold that at least a share `coverage` of confidences (N,) reaches; 0 when all must.

    Raises `ValueError` when coverage is not in (0, 1].
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is a share above 0 and at most 1, not {coverage}")
    if coverage == 1:
        return 0.0
    kept = math.ceil(coverage * len(confidence) - 1e-9)  # 0.7 * 10 is 7.000000000000001
    return float(confidence.sort(descending=True).values[kept - 1])


def risk_coverage(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each threshold that one could set, from the highest: the share of rows kept and the share of them wrong.

    (N, C), int[N], every row labelled -> coverage and risk, (K,) each, 0..1, where K <= N is the number of distinct
    confidences (El-Yaniv & Wiener 2010).
    """
    confidence, predicted = probabilities.max(-1)
    confidence, order = confidence.sort(descending=True)
    wrong = (predicted != labels)[order].double().cumsum(0)
    kept = torch.arange(1, len(labels) + 1, dtype=torch.double)
    last = torch.ones_like(confidence, dtype=torch.bool)  # rows equally sure are kept or dropped together
    last[:-1] = confidence[:-1] > confidence[1:]
    return kept[last] / len(labels), wrong[last] / kept[last]

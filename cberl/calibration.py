"""From logits to probabilities one can act on: logit adjustment, then a temperature, both chosen on dev."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Calibration:
    """probabilities = softmax((logits - tau * log_prior) / temperature); `log_prior` has one number a class.

    tau moves decisions towards rare classes (Menon et al. 2021, arXiv 2007.07314); temperature changes none (Guo et al.
    2017, arXiv 1706.04599).
    """

    log_prior: tuple[float, ...]
    tau: float = 0.0
    temperature: float = 1.0

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C)"""
        return F.softmax(self._adjusted(logits) / self.temperature, dim=-1)

    def decide(self, logits: Tensor) -> Tensor:
        """(N, C) -> the chosen class, int[N]."""
        return self._adjusted(logits).argmax(-1)

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


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """ECE over equal-width bins of the top probability: (N, C), int[N] -> 0..1 (Naeini et al. 2015)."""
    confidence, predicted = probabilities.max(-1)
    correct = (predicted == labels).double()
    which = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.double).index_add(0, which, correct - confidence.double())
    return float(gap.abs().sum() / len(labels))

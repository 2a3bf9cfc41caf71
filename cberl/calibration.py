"""From logits to calibrated decisions: logit adjustment, a temperature and a confidence threshold.

They are chosen on dev, in `cberl.calibration_fit`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Calibration:
    """probabilities = softmax((logits - tau * log_prior) / temperature); `log_prior` has one number per class.

    tau moves decisions towards rare classes (Menon et al. 2021, arXiv 2007.07314); the temperature changes no decision
    (Guo et al. 2017, arXiv 1706.04599). Decisions with a probability below `uncertain_below` are uncertain.
    """

    log_prior: tuple[float, ...]
    tau: float = 0.0
    temperature: float = 1.0
    uncertain_below: float = 0.0

    def __post_init__(self) -> None:
        """Raises `ValueError` for numbers that would spoil every decision."""
        numbers = (*self.log_prior, self.tau, self.temperature, self.uncertain_below)
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise ValueError("a number of the calibration is not finite")
        if not (self.temperature > 0 and 0 <= self.uncertain_below <= 1):
            found = f"{self.temperature} and {self.uncertain_below}"
            raise ValueError(f"temperature is above 0 and uncertain_below from 0 to 1, not {found}")

    def probabilities(self, logits: Numbers) -> Numbers:
        """(N, C) -> (N, C)"""
        scaled = self._adjusted(logits) / self.temperature
        odds = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        shares: Numbers = odds / odds.sum(axis=-1, keepdims=True)
        return shares

    def decide(self, logits: Numbers) -> NDArray[np.int64]:
        """(N, C) -> the predicted class, int[N]."""
        decided: NDArray[np.int64] = self._adjusted(logits).argmax(axis=-1)
        return decided

    def uncertain(self, probabilities: Numbers) -> NDArray[np.bool_]:
        """(N, C) from `probabilities` -> bool (N,)."""
        below: NDArray[np.bool_] = probabilities.max(axis=-1) < self.uncertain_below
        return below

    def _adjusted(self, logits: Numbers) -> Numbers:
        adjusted: Numbers = logits - np.asarray(self.log_prior, logits.dtype) * self.tau
        return adjusted

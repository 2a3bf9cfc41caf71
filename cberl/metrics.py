"""Scores of predictions against labels, in percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """`f1` and `support` are by class; `confusion[i, j]` counts label i predicted as label j."""

    labels: tuple[str, ...]
    f1: Float
    support: Int
    confusion: Int

    @property
    def weighted_f1(self) -> float:
        return float((self.f1 * self.support).sum() / max(self.support.sum(), 1))

    @property
    def macro_f1(self) -> float:
        """The mean over classes that occur."""
        return float(self.f1[self.support > 0].mean()) if self.support.any() else 0.0

    @property
    def accuracy(self) -> float:
        return float(100 * np.trace(self.confusion) / max(self.confusion.sum(), 1))

    @property
    def selection(self) -> float:
        """The criterion of model selection on dev: the mean of weighted and macro F1."""
        return (self.weighted_f1 + self.macro_f1) / 2

    def as_dict(self) -> dict[str, object]:
        return {
            "weighted_f1": round(self.weighted_f1, 2),
            "macro_f1": round(self.macro_f1, 2),
            "accuracy": round(self.accuracy, 2),
            "f1": {label: round(float(f1), 2) for label, f1 in zip(self.labels, self.f1, strict=True)},
            "support": {label: int(n) for label, n in zip(self.labels, self.support, strict=True)},
            "confusion": self.confusion.tolist(),
        }


def score(labels: Int, predictions: Int, names: Sequence[str]) -> Scores:
    """Labels and predictions: int[n] of class indices."""
    classes = len(names)
    confusion = np.bincount(labels * classes + predictions, minlength=classes**2)
    return scores_of(confusion.reshape(classes, classes), names)  # (n,) pairs -> (true, predicted)


def scores_of(confusion: Int, names: Sequence[str]) -> Scores:
    """confusion: int[classes, classes], true class by predicted class."""
    hits = np.diag(confusion)
    both = confusion.sum(0) + confusion.sum(1)
    f1 = np.divide(200.0 * hits, both, out=np.zeros(len(names)), where=both > 0)
    return Scores(tuple(names), f1, confusion.sum(1), confusion)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds, rounded to two digits for reports."""
    return {"mean": round(mean(values), 2), "sd": round(stdev(values), 2) if len(values) > 1 else 0.0}

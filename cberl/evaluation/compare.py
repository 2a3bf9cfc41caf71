"""Groups of runs, and the differences of their scores with confidence intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cberl.checkpoint import Checkpoint
from cberl.data.features import FeatureSet
from cberl.evaluation.evaluate import Predicted

RESAMPLES = 2000

Float = NDArray[np.float64]
Statistic = Callable[[Float], Float]  # confusion counts (..., C, C) -> (...), in percent


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The seeds of one configuration. text_encoder: a description for reports."""

    name: str
    checkpoints: Sequence[Checkpoint]
    text_encoder: str = ""

    def predict(self, features: FeatureSet) -> list[Predicted]:
        """One result per seed."""
        return [Predicted.by(checkpoint, features) for checkpoint in self.checkpoints]


def difference(
    ours: Sequence[Predicted], theirs: Sequence[Predicted], statistic: Statistic, seed: int = 0
) -> dict[str, float]:
    """The mean over `ours` minus the mean over `theirs`, with a 95 % confidence interval.

    By paired bootstrap over dialogues (Efron & Tibshirani 1993): each resample is the same for all runs of both sides.
    The sides may have different numbers of runs, but must have the same dialogues.
    """
    one, other = _counts(ours), _counts(theirs)
    low, high = np.percentile(_resampled(one, statistic, seed) - _resampled(other, statistic, seed), [2.5, 97.5])
    whole = statistic(one.sum(1)).mean() - statistic(other.sum(1)).mean()
    return {"difference": round(float(whole), 2), "low": round(float(low), 2), "high": round(float(high), 2)}


def interval(runs: Sequence[Predicted], statistic: Statistic, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of the mean over runs, by bootstrap over dialogues."""
    low, high = np.percentile(_resampled(_counts(runs), statistic, seed), [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)


def _counts(runs: Sequence[Predicted]) -> Float:
    """(runs, dialogues, C, C)"""
    return np.stack([run.counts() for run in runs])


def _resampled(counts: Float, statistic: Statistic, seed: int) -> Float:
    """The mean over runs in each resample, (RESAMPLES,)."""
    dialogues = counts.shape[1]
    draws = np.random.default_rng(seed).multinomial(dialogues, np.full(dialogues, 1 / dialogues), RESAMPLES)
    return np.asarray(statistic(np.tensordot(draws, counts, (1, 1))).mean(1))  # (RESAMPLES, runs) -> (RESAMPLES,)


def macro_f1(confusion: Float) -> Float:
    """The mean over classes that occur."""
    f1, support = _f1(confusion)
    return np.asarray((f1 * (support > 0)).sum(-1) / np.maximum((support > 0).sum(-1), 1))


def weighted_f1(confusion: Float) -> Float:
    f1, support = _f1(confusion)
    return np.asarray((f1 * support).sum(-1) / np.maximum(support.sum(-1), 1))


def summed_f1(classes: Sequence[int]) -> Statistic:
    """The sum of these classes' F1."""
    return lambda confusion: np.asarray(_f1(confusion)[0][..., list(classes)].sum(-1))


def _f1(confusion: Float) -> tuple[Float, Float]:
    """(..., C, C) -> F1, in percent, and support of each class, (..., C)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    both = confusion.sum(-2) + confusion.sum(-1)
    return 200 * hits / np.maximum(both, 1e-9), confusion.sum(-1)

"""Figures by threshold: calibration, selective prediction, and decisions by tau. Means over a group's seeds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cberl.calibration import Calibration
from cberl.calibration_fit import (
    expected_calibration_error,
    maximum_calibration_error,
    reliability,
    risk_coverage,
    threshold_at_coverage,
)
from cberl.evaluation.evaluate import Predicted
from cberl.metrics import Scores, score, spread
from cberl.training.core.train import TAUS

COVERAGES = tuple(i / 20 for i in range(4, 21))  # 0.2 .. 1


def calibration(runs: Sequence[Predicted]) -> dict[str, Any]:
    """ECE, MCE and the points of the reliability diagram, with and without the temperature (at the same tau)."""
    found: dict[str, Any] = {"temperature": spread([run.calibration.temperature for run in runs])}
    for name, change in (("before", lambda one: replace(one, temperature=1.0)), ("after", lambda one: one)):
        pairs = [_probabilities(run, change) for run in runs]
        pooled = reliability(torch.cat([p for p, _ in pairs]), torch.cat([label for _, label in pairs]))
        found[name] = {
            "ece": spread([100 * expected_calibration_error(p, label) for p, label in pairs]),
            "mce": spread([100 * maximum_calibration_error(p, label) for p, label in pairs]),
            "confidence": _percent(pooled.confidence),
            "accuracy": _percent(pooled.accuracy),
            "count": pooled.count.tolist(),
        }
    return found


def selective(runs: Sequence[Predicted], stated: float) -> dict[str, Any]:
    """Scores of the utterances with the highest confidence, by share, and of those that are not called uncertain.

    stated: the share of dev that the threshold keeps, 0..1.
    """
    chosen = [_kept(run, _confidence(run) >= run.calibration.uncertain_below) for run in runs]
    curve = [
        [_kept(run, _confidence(run) >= threshold_at_coverage(_confidence(run), c)) for run in runs] for c in COVERAGES
    ]
    return {
        "stated_coverage": round(100 * stated, 2),
        "aurc": spread([100 * float(risk_coverage(*_probabilities(run))[1].mean()) for run in runs]),
        "chosen": _selected(chosen),
        "curve": [{"asked": round(100 * c, 2)} | _selected(kept) for c, kept in zip(COVERAGES, curve, strict=True)],
    }


def frontier(runs: Sequence[Predicted]) -> dict[str, Any]:
    """Weighted and macro F1 by tau, each run's own tau (chosen on dev), and its scores."""

    def at(tau: float) -> list[Scores]:
        return [replace(run, calibration=replace(run.calibration, tau=tau)).scores() for run in runs]

    return {
        "curve": [{"tau": tau} | _brief(at(tau)) for tau in TAUS],
        "chosen": {"tau": [run.calibration.tau for run in runs]} | _brief([run.scores() for run in runs]),
    }


def _brief(scores: Sequence[Scores]) -> dict[str, Any]:
    return {
        "weighted_f1": spread([one.weighted_f1 for one in scores]),
        "macro_f1": spread([one.macro_f1 for one in scores]),
    }


def _probabilities(
    run: Predicted, change: Callable[[Calibration], Calibration] = lambda one: one
) -> tuple[Tensor, Tensor]:
    logits, label = run.labelled()
    return torch.from_numpy(change(run.calibration).probabilities(logits.numpy())), label


def _confidence(run: Predicted) -> Tensor:
    return _probabilities(run)[0].amax(-1)


def _kept(run: Predicted, keep: Tensor) -> tuple[float, Scores]:
    """The share that is kept, and the scores of it."""
    probabilities, label = _probabilities(run)
    return float(keep.double().mean()), score(label[keep].numpy(), probabilities[keep].argmax(-1).numpy(), run.names)


def _selected(kept: Sequence[tuple[float, Scores]]) -> dict[str, Any]:
    scores = [one for _, one in kept]
    return {
        "coverage": spread([100 * share for share, _ in kept]),
        "accuracy": spread([one.accuracy for one in scores]),
        **_brief(scores),
    }


def _percent(shares: Tensor) -> list[float | None]:
    return [None if np.isnan(share) else round(100 * share, 2) for share in shares.tolist()]

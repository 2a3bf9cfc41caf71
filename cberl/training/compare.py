"""Groups of runs side by side: means over seeds, by modality subset, without context, and bootstrap differences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.checkpoint import Checkpoint
from cberl.data.features import FeatureSet
from cberl.metrics import score
from cberl.training.evaluate import Evaluated, evaluate, summary
from cberl.training.train import predict

RESAMPLES = 2000

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The seeds of one configuration."""

    name: str
    checkpoints: Sequence[Checkpoint]


def only(features: FeatureSet, modalities: Sequence[str]) -> FeatureSet:
    """The same utterances with every other modality absent."""
    present = {name: has & (name in modalities) for name, has in features.present.items()}
    return replace(features, present=present)


def without_context(features: FeatureSet) -> FeatureSet:
    """Every utterance as a dialogue of its own. (The text encoder still saw the turns before it.)"""
    return replace(features, lengths=torch.ones_like(features.label))


def measure(group: Group, features: FeatureSet) -> dict[str, Any]:
    """Scores of a group: complete, by modality subset, and without the graph's context."""
    names = [name for name in features.x if features.present[name].any()]
    subsets = [part for size in range(1, len(names)) for part in combinations(names, size)]
    return {
        "name": group.name,
        **summary(_all(group, features)),
        "subsets": {"+".join(part): _brief(group, only(features, part)) for part in subsets},
        "without_context": _brief(group, without_context(features)),
    }


def difference(group: Group, baseline: Group, features: FeatureSet, seed: int = 0) -> dict[str, dict[str, float]]:
    """Macro and weighted F1 of `group` minus `baseline`, with 95 % intervals.

    Paired bootstrap over dialogues (Efron & Tibshirani 1993); the counts of a group's seeds are pooled.
    """
    ours, theirs = _counts(group, features), _counts(baseline, features)
    draws = np.random.default_rng(seed).multinomial(len(ours), np.full(len(ours), 1 / len(ours)), RESAMPLES)
    found = {}
    for name, f1 in (("macro_f1", _macro_f1), ("weighted_f1", _weighted_f1)):
        resampled = f1(np.tensordot(draws, ours, 1)) - f1(np.tensordot(draws, theirs, 1))  # (RESAMPLES,)
        low, high = np.percentile(resampled, [2.5, 97.5])
        whole = f1(ours.sum(0, keepdims=True))[0] - f1(theirs.sum(0, keepdims=True))[0]
        found[name] = {"difference": round(float(whole), 2), "low": round(low, 2), "high": round(high, 2)}
    return found


def _all(group: Group, features: FeatureSet) -> list[Evaluated]:
    return [evaluate(checkpoint, features) for checkpoint in group.checkpoints]


def _brief(group: Group, features: FeatureSet) -> dict[str, Any]:
    totals = summary(_all(group, features))
    return {name: totals[name] for name in ("weighted_f1", "macro_f1")}


def _counts(group: Group, features: FeatureSet) -> Float:
    """Confusion counts a dialogue, summed over seeds: (D, C, C)."""
    lengths = features.lengths.tolist()
    total: Float | None = None
    for checkpoint in group.checkpoints:
        logits, label = predict(checkpoint.model, features)
        decided = checkpoint.calibration.decide(logits)
        matrices = []
        for true, taken in zip(label.split(lengths), decided.split(lengths), strict=True):
            known = true >= 0
            labels = checkpoint.model.config.labels
            matrices.append(score(true[known].numpy(), taken[known].numpy(), labels).confusion)
        counted = np.stack(matrices).astype(np.float64)
        total = counted if total is None else total + counted
    assert total is not None
    return total


def _f1(confusion: Float) -> tuple[Float, Float]:
    """(K, C, C) -> F1 and support of each class, (K, C), F1 in percent."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    both = confusion.sum(1) + confusion.sum(2)
    return 200 * hits / np.maximum(both, 1e-9), confusion.sum(2)


def _macro_f1(confusion: Float) -> Float:
    f1, support = _f1(confusion)
    return np.asarray((f1 * (support > 0)).sum(1) / (support > 0).sum(1))


def _weighted_f1(confusion: Float) -> Float:
    f1, support = _f1(confusion)
    return np.asarray((f1 * support).sum(1) / support.sum(1))

"""All figures of a report: groups of runs on one split. Each network runs once per variant of the split."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from cberl.calibration import Calibration
from cberl.calibration_fit import fit_temperature
from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.config import ModelConfig
from cberl.data.features import FeatureSet
from cberl.evaluation.compare import Group, difference, macro_f1, summed_f1, weighted_f1
from cberl.evaluation.evaluate import Predicted, summary
from cberl.evaluation.report import curves
from cberl.evaluation.report.embedding import Map, map_of, states
from cberl.evaluation.report.settings import alike, otherwise
from cberl.evaluation.report.targets import anchors, targets
from cberl.evaluation.variants import half_missing, only, share_missing, without_context
from cberl.metrics import spread
from cberl.progress import progress
from cberl.training.features.asr_noise_features import Corrupt

DRAWS = 5  # of missing modalities, averaged
RARE = ("fear", "disgust")
BOTH = {"weighted_f1": weighted_f1, "macro_f1": macro_f1}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where features come from. `features(checkpoint, split)` encodes a split for the checkpoint."""

    corpus: str
    split: str
    features: Callable[[Checkpoint, str], FeatureSet]
    corrupt: Corrupt | None = None  # simulated errors of speech recognition


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A group, and its results on the complete split."""

    group: Group
    features: FeatureSet
    runs: list[Predicted]

    @property
    def config(self) -> ModelConfig:
        return self.group.checkpoints[0].model.config


def gather(
    groups: Sequence[Group], source: Source, plain: Sequence[str] = (), error_rates: Sequence[float] = ()
) -> tuple[dict[str, Any], list[Map]]:
    """All figures by name, and maps of the first group's states.

    The groups named in `plain` decide by argmax, without logit adjustment. error_rates: word error rates, 0..1, of
    simulated speech recognition. Raises `CheckpointError`.
    """
    groups = [_by_argmax(group, source) if group.name in plain else group for group in _checked(groups, plain)]
    with _bar(len(groups), "groups") as advance:
        measured = []
        for group in groups:
            features = source.features(group.checkpoints[0], source.split)
            measured.append(Measured(group, features, group.predict(features)))
            advance()
    first, bare = measured[0], [one for name in plain for one in measured if one.group.name == name]
    known = first.features.label >= 0
    found: dict[str, Any] = {
        "corpus": source.corpus,
        "split": source.split,
        "labels": list(first.config.labels),
        "utterances": int(known.sum()),
        "dialogues": len(first.features.lengths),
        "groups": [_row(one, first, plain) for one in measured],
        "anchors": anchors(source.corpus),
        "rare": _rare(measured, bare),
        "modalities": by_modality(first.group, first.features, first.runs),
        "without_context": _both(first.group.predict(without_context(first.features))),
        "future": _future(measured),
        "calibration": curves.calibration(first.runs),
        "selective": curves.selective(first.runs, _coverage(first.group.checkpoints[0])),
        "frontier": curves.frontier(first.runs),
        "misheard": _asr_corrupted(first, source.corrupt, error_rates) if source.corrupt and error_rates else [],
    }
    maps = _maps(first, bare[:1], source)
    found["maps"] = {one.title: {"silhouette": one.silhouette} for one in maps}
    return found | {"targets": targets(source.corpus, found)}, maps


def _checked(groups: Sequence[Group], plain: Sequence[str]) -> Sequence[Group]:
    names = [group.name for group in groups]
    if len(set(names)) < len(names):
        raise CheckpointError(f"two groups have the same name: {', '.join(names)}; rename a folder")
    for name in plain:
        if name not in names[1:]:
            raise CheckpointError(f"--plain {name} must be the name of a group's folder, and not of the first")
    return groups


def _by_argmax(group: Group, source: Source) -> Group:
    """Without logit adjustment, with the temperature fitted again on dev, as it depends on the adjustment."""

    def changed(checkpoint: Checkpoint) -> Checkpoint:
        logits, label = Predicted.by(checkpoint, source.features(checkpoint, "dev")).labelled()
        unadjusted = Calibration(checkpoint.calibration.log_prior)
        return replace(
            checkpoint, calibration=replace(unadjusted, temperature=fit_temperature(logits, label, unadjusted))
        )

    return replace(group, checkpoints=[changed(checkpoint) for checkpoint in group.checkpoints])


def _row(one: Measured, first: Measured, plain: Sequence[str]) -> dict[str, Any]:
    against = {name: difference(one.runs, first.runs, f1) for name, f1 in BOTH.items()} if one is not first else None
    return {
        "name": one.group.name,
        "text_encoder": one.group.text_encoder,
        "decisions": "argmax" if one.group.name in plain else "adjusted",
        "later": _later(one.config),
        **summary([run.evaluated() for run in one.runs]),
        "otherwise": otherwise(one.group.checkpoints[0], first.group.checkpoints[0]),
        **({"against_first": against} if against else {}),
    }


def _later(config: ModelConfig) -> int | None:
    """How many later utterances the network waits for; None = all."""
    return None if config.direction == "offline" else config.lookahead


def _both(runs: Sequence[Predicted]) -> dict[str, Any]:
    scores = [run.scores() for run in runs]
    return {
        "weighted_f1": spread([one.weighted_f1 for one in scores]),
        "macro_f1": spread([one.macro_f1 for one in scores]),
    }


def _rare(measured: Sequence[Measured], bare: Sequence[Measured]) -> dict[str, Any] | None:
    """The sum of the rare classes' F1 of each group, and its difference to each plain group."""
    labels = measured[0].config.labels
    if not set(RARE) <= set(labels):
        return None
    where = [labels.index(name) for name in RARE]
    return {
        "classes": list(RARE),
        "plain": [one.group.name for one in bare],
        "rows": [
            {
                "name": one.group.name,
                "summed_f1": spread([float(run.scores().f1[where].sum()) for run in one.runs]),
                "over": {
                    other.group.name: difference(one.runs, other.runs, summed_f1(where))
                    for other in bare
                    if other is not one
                },
            }
            for one in measured
        ],
    }


def by_modality(group: Group, features: FeatureSet, complete: Sequence[Predicted]) -> dict[str, Any]:
    """Scores by subset of the modalities that the network reads and the split has, and with a random half missing.

    complete: the group's results on `features` themselves.
    """
    reads = group.checkpoints[0].model.config.modality_dims
    names = [name for name in reads if features.present[name].any()]
    subsets = [part for size in range(1, len(names)) for part in combinations(names, size)]
    with _bar(len(subsets) + DRAWS, "modalities") as advance:
        by_subset = {}
        for part in subsets:
            by_subset["+".join(part)] = _both(group.predict(only(features, part)))
            advance()
        by_subset["+".join(names)] = _both(complete)
        drawn, missing = [], []
        for seed in range(DRAWS):
            less = half_missing(features, names, seed)
            drawn.append(group.predict(less))
            missing.append(100 * share_missing(features, less, names))
            advance()
    halves = [run for runs in drawn for run in runs]
    return {"subsets": by_subset, "half_missing": _half(drawn, missing) | {"loss": _losses(complete, halves)}}


def _half(drawn: Sequence[Sequence[Predicted]], missing: Sequence[float]) -> dict[str, Any]:
    """Averaged over draws, then over seeds."""
    scores = [[run.scores() for run in runs] for runs in zip(*drawn, strict=True)]  # by seed
    return {
        "draws": len(drawn),
        "missing": spread(missing),
        "weighted_f1": spread([sum(one.weighted_f1 for one in own) / len(own) for own in scores]),
        "macro_f1": spread([sum(one.macro_f1 for one in own) / len(own) for own in scores]),
    }


def _losses(complete: Sequence[Predicted], less: Sequence[Predicted]) -> dict[str, Any]:
    return {name: difference(complete, less, f1) for name, f1 in BOTH.items()}


def _future(measured: Sequence[Measured]) -> dict[str, Any]:
    """The groups that use later utterances, and a streaming one: with equal settings if possible, else the first."""
    ahead = [one for one in measured if not one.config.streams]
    streaming = [one for one in measured if one.config.streams]
    if not streaming or not ahead:
        return {"rows": []}
    trained = ahead[0].group.checkpoints[0]
    causal = next((one for one in streaming if alike(one.group.checkpoints[0], trained)), streaming[0])
    ahead.sort(key=lambda one: (one.config.direction == "offline", one.config.lookahead))
    rows: list[dict[str, Any]] = [{"name": causal.group.name, "later": 0, **_both(causal.runs)}]
    rows += [
        {
            "name": one.group.name,
            "later": _later(one.config),
            **_both(one.runs),
            "over_causal": {name: difference(one.runs, causal.runs, f1) for name, f1 in BOTH.items()},
        }
        for one in ahead
    ]
    offline = next((row for row in rows if row["later"] is None), None)
    return {"rows": rows} | ({"gap": offline["over_causal"]} if offline else {})


def _coverage(checkpoint: Checkpoint) -> float:
    return float(checkpoint.provenance.get("training", {}).get("coverage", 1.0))


def _asr_corrupted(first: Measured, corrupt: Corrupt, error_rates: Sequence[float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"asked": None, "word_error_rate": 0.0, **_both(first.runs)}]  # None = as written
    for rate in error_rates:
        features, measured = corrupt(first.features, rate)
        runs = first.group.predict(features)
        rows.append(
            {
                "asked": round(100 * rate, 2),
                "word_error_rate": round(100 * measured, 2),
                **_both(runs),
                "loss": _losses(first.runs, runs),
            }
        )
    return rows


def _maps(first: Measured, bare: Sequence[Measured], source: Source) -> list[Map]:
    """The input and output of the graph of the seed that is best on dev, and the output of the plain groups' best."""
    best = _best_on_dev(first, source)
    inside, label = states(best, first.features), first.features.label
    maps = [map_of("fused z", inside.fused.z, label), map_of("graph states", inside.graph, label)]
    for one in bare:
        theirs = states(_best_on_dev(one, source), one.features)
        maps.append(map_of(f"graph states, {one.group.name}", theirs.graph, one.features.label))
    return maps


def _best_on_dev(one: Measured, source: Source) -> Checkpoint:
    def selection(checkpoint: Checkpoint) -> float:
        return Predicted.by(checkpoint, source.features(checkpoint, "dev")).scores().selection

    return max(one.group.checkpoints, key=selection)


@contextmanager
def _bar(total: int, name: str) -> Iterator[Callable[[], None]]:
    with progress() as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)

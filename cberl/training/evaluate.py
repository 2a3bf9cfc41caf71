"""Scores of checkpoints on a split, and how they are shown."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from cberl.calibration import expected_calibration_error
from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.data.corpus import Corpus
from cberl.data.features import FeatureSet, widened
from cberl.encoders.audio import AudioEncoderConfig
from cberl.metrics import Scores, score
from cberl.training.corpus import TEXT_ENCODER, corpus_features, text_fingerprint
from cberl.training.train import predict

Evaluated = tuple[Scores, float]  # and the expected calibration error, 0..1


def features_for(checkpoint: Checkpoint, corpus: Corpus, split: str, cache: Path) -> FeatureSet:
    """The split, encoded as this checkpoint wants it. Raises `CheckpointError` when it cannot be scored on it."""
    labels = checkpoint.model.config.labels
    if labels != corpus.labels:
        raise CheckpointError(
            f"{checkpoint.name} knows {', '.join(labels)}, but {corpus.name} is labelled {', '.join(corpus.labels)}"
        )
    if checkpoint.encoders["text"]["sha256"] != text_fingerprint():
        raise CheckpointError(
            f"{checkpoint.name} was trained with another text encoder than the one in {TEXT_ENCODER}: train it again"
        )
    features = corpus_features(corpus, split, AudioEncoderConfig(**checkpoint.encoders["audio"]), cache)
    return widened(features, checkpoint.model.config.modality_dims)


def evaluate(checkpoint: Checkpoint, features: FeatureSet) -> Evaluated:
    """Scores of the calibrated decisions on labelled rows, and the expected calibration error (0..1)."""
    logits, label = predict(checkpoint.model, features)
    known = label >= 0
    decided = checkpoint.calibration.decide(logits[known])
    probabilities = checkpoint.calibration.probabilities(logits[known])
    scores = score(label[known].numpy(), decided.numpy(), checkpoint.model.config.labels)
    return scores, expected_calibration_error(probabilities, label[known])


def summary(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """Means and standard deviations over seeds; the confusion matrix is summed."""
    scores = [one for one, _ in runs]
    labels = scores[0].labels
    return {
        "seeds": len(runs),
        "weighted_f1": _spread([one.weighted_f1 for one in scores]),
        "macro_f1": _spread([one.macro_f1 for one in scores]),
        "accuracy": _spread([one.accuracy for one in scores]),
        "f1": {label: _spread([float(one.f1[i]) for one in scores]) for i, label in enumerate(labels)},
        "ece": _spread([100 * ece for _, ece in runs]),
        "confusion": np.sum([one.confusion for one in scores], axis=0).tolist(),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(mean(values), 2), "sd": round(stdev(values), 2) if len(values) > 1 else 0.0}


def plot_confusion(scores: Scores, path: Path) -> None:
    """Row-normalised confusion matrix as PNG. Needs matplotlib (the `train` extra)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shares = scores.confusion / np.maximum(scores.support, 1)[:, None]
    figure, axes = pyplot.subplots(figsize=(6.5, 5.5), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(scores.labels)), scores.labels, rotation=45, ha="right")
    axes.set_yticks(range(len(scores.labels)), scores.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")
    axes.set_title(f"weighted F1 {scores.weighted_f1:.1f}, macro F1 {scores.macro_f1:.1f}")
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{scores.confusion[row, column]}", ha="center", va="center", color=ink, fontsize=8)
    figure.colorbar(image, label="share of the label")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)

"""Scores of checkpoints on a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cberl.calibration import Calibration, expected_calibration_error
from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.data.corpus import Corpus
from cberl.data.features import FeatureSet, widened
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.visual import VisualEncoderConfig
from cberl.metrics import Scores, score
from cberl.training.core.train import predict
from cberl.training.features.corpus import TEXT_ENCODER, corpus_features, text_fingerprint

Evaluated = tuple[Scores, float]  # and the expected calibration error, 0..1


def features_for(
    checkpoint: Checkpoint, corpus: Corpus, split: str, cache: Path, texts: Sequence[Path] = (TEXT_ENCODER,)
) -> FeatureSet:
    """The split, encoded as this checkpoint wants it, by the one of `texts` that it was trained with.

    Raises `CheckpointError` when it cannot be scored on the corpus, or its text encoder is not among them.
    """
    labels = checkpoint.model.config.labels
    if labels != corpus.labels:
        raise CheckpointError(
            f"{checkpoint.name} knows {', '.join(labels)}, but {corpus.name} is labelled {', '.join(corpus.labels)}"
        )
    text = text_encoder_of(checkpoint, texts)
    seen_by = checkpoint.encoders.get("visual")
    visual = VisualEncoderConfig(**seen_by) if seen_by else None
    features = corpus_features(corpus, split, AudioEncoderConfig(**checkpoint.encoders["audio"]), cache, text, visual)
    return widened(features, checkpoint.model.config.modality_dims)


def text_encoder_of(checkpoint: Checkpoint, folders: Sequence[Path]) -> Path:
    """The one of `folders` that holds the checkpoint's text encoder. Raises `CheckpointError`."""
    for folder in folders:
        if text_fingerprint(folder) == checkpoint.encoders["text"]["sha256"]:
            return folder
    raise CheckpointError(
        f"{checkpoint.name} was trained with another text encoder than the one in {', '.join(map(str, folders))}: "
        "give the folder of that one as --text-encoder, or train it again"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What one network says of a split, kept so that it runs once.

    logits: (N, C), with the calibration that decides on them; label: int[N], negative = none; lengths: int[B],
    utterances a dialogue.
    """

    names: tuple[str, ...]
    calibration: Calibration
    logits: Tensor
    label: Tensor
    lengths: Tensor

    @classmethod
    def by(cls, checkpoint: Checkpoint, features: FeatureSet) -> "Predicted":
        logits, label = predict(checkpoint.model, features)
        return cls(checkpoint.model.config.labels, checkpoint.calibration, logits, label, features.lengths)

    def labelled(self) -> tuple[Tensor, Tensor]:
        """Logits and labels of the rows that have one."""
        known = self.label >= 0
        return self.logits[known], self.label[known]

    def scores(self) -> Scores:
        logits, label = self.labelled()
        return score(label.numpy(), self.calibration.decide(logits).numpy(), self.names)

    def evaluated(self) -> Evaluated:
        logits, label = self.labelled()
        return self.scores(), expected_calibration_error(self.calibration.probabilities(logits), label)

    def counts(self) -> NDArray[np.float64]:
        """A confusion matrix a dialogue: (B, C, C)."""
        known, classes = (self.label >= 0).numpy(), len(self.names)
        dialogue = np.repeat(np.arange(len(self.lengths)), self.lengths.numpy())[known]
        decided = self.calibration.decide(self.logits).numpy()[known]
        counted = np.zeros((len(self.lengths), classes, classes))
        np.add.at(counted, (dialogue, self.label.numpy()[known], decided), 1)
        return counted


def evaluate(checkpoint: Checkpoint, features: FeatureSet) -> Evaluated:
    """Scores of the calibrated decisions on labelled rows, and the expected calibration error (0..1)."""
    return Predicted.by(checkpoint, features).evaluated()


def summary(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """Means and standard deviations over seeds; the confusion matrix is summed."""
    scores = [one for one, _ in runs]
    labels = scores[0].labels
    return {
        "seeds": len(runs),
        "weighted_f1": spread([one.weighted_f1 for one in scores]),
        "macro_f1": spread([one.macro_f1 for one in scores]),
        "accuracy": spread([one.accuracy for one in scores]),
        "f1": {label: spread([float(one.f1[i]) for one in scores]) for i, label in enumerate(labels)},
        "ece": spread([100 * ece for _, ece in runs]),
        "confusion": np.sum([one.confusion for one in scores], axis=0).tolist(),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation, as they are written."""
    return {"mean": round(mean(values), 2), "sd": round(stdev(values), 2) if len(values) > 1 else 0.0}

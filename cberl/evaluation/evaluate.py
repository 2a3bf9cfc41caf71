"""Scores of checkpoints on a split of a corpus."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cberl.calibration import Calibration
from cberl.calibration_fit import expected_calibration_error
from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.data.corpus import Corpus
from cberl.data.features import FeatureSet, widened
from cberl.encoders.bundle import TEXT_ENCODER, encoder_configs
from cberl.metrics import Scores, score, spread
from cberl.training.core.train import predict
from cberl.training.features.corpus import corpus_features, text_fingerprint

Evaluated = tuple[Scores, float]  # with the expected calibration error, 0..1


def features_for(
    checkpoint: Checkpoint,
    corpus: Corpus,
    split: str,
    cache: Path,
    texts: Sequence[Path] = (TEXT_ENCODER,),
    face_detector: Path | None = None,
) -> FeatureSet:
    """The split, encoded for this checkpoint; the text encoder is the one of `texts` that it was trained with.

    Raises `CheckpointError` if its labels are not those of the corpus, or its text encoder is not among `texts`.
    """
    labels = checkpoint.model.config.labels
    if labels != corpus.labels:
        raise CheckpointError(
            f"{checkpoint.name} has the labels {', '.join(labels)}, but {corpus.name} {', '.join(corpus.labels)}"
        )
    text, configs = text_encoder_of(checkpoint, texts), encoder_configs(checkpoint.name, checkpoint.encoders)
    features = corpus_features(corpus, split, configs.audio, cache, text, configs.visual, face_detector=face_detector)
    return widened(features, checkpoint.model.config.modality_dims)


def text_encoder_of(checkpoint: Checkpoint, folders: Sequence[Path]) -> Path:
    """The one of `folders` that holds the checkpoint's text encoder. Raises `CheckpointError`."""
    sha256 = encoder_configs(checkpoint.name, checkpoint.encoders).text_sha256
    for folder in folders:
        if text_fingerprint(folder) == sha256:
            return folder
    raise CheckpointError(
        f"{checkpoint.name} was trained with another text encoder than the one in {', '.join(map(str, folders))}: "
        "give the folder of its own as --text-encoder, or train it again"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """The output of one network on a split, so that it runs only once.

    logits: (N, C), with the calibration for decisions; label: int[N], negative = none; lengths: int[B], utterances per
    dialogue.
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
        """Logits and labels of the labelled rows."""
        known = self.label >= 0
        return self.logits[known], self.label[known]

    def scores(self) -> Scores:
        logits, label = self.labelled()
        return score(label.numpy(), self.calibration.decide(logits.numpy()), self.names)

    def evaluated(self) -> Evaluated:
        logits, label = self.labelled()
        probabilities = torch.from_numpy(self.calibration.probabilities(logits.numpy()))
        return self.scores(), expected_calibration_error(probabilities, label)

    def counts(self) -> NDArray[np.float64]:
        """A confusion matrix per dialogue: (B, C, C)."""
        known, classes = (self.label >= 0).numpy(), len(self.names)
        dialogue = np.repeat(np.arange(len(self.lengths)), self.lengths.numpy())[known]
        decided = self.calibration.decide(self.logits.numpy())[known]
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

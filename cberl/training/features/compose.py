"""A composed corpus: real dialogues, combined with speech emotion and face scores of other people.

Text, prosody and labels stay real. The scores (`log_ratio_scores`) are those of the speech emotion and the expression
network for a clip or a picture from a pool that they were not trained on, with the label of the utterance. A person of
a dialogue has the voice of one actor throughout, since scores depend on how that voice sounded before. A share of the
scores is of another label, some are missing, and some dialogues get none, so that the network relies on them no more
than is justified live.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.data.features import FeatureSet
from cberl.encoders.log_ratio import SCORES_DIM
from cberl.training.features.speech_pool import SpeechPool
from cberl.types import Float32

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ComposeConfig:
    """The table `[compose]` of a recipe. The shares `voice` and `face` are drawn independently of each other.

    `misheard` adds a copy of every dialogue with simulated errors of speech recognition: three quarters of them with
    the marks and the spelling of Whisper, the rest without case and punctuation, as other recognisers write. Selection
    and calibration then are on both copies of dev.
    """

    voice: float = 0.0  # share of dialogues with speech emotion scores; 0 = no speech emotion network
    face: float = 0.0  # share of dialogues with face scores; 0 = no visual modality
    mismatch: float = 0.4  # share of scores that have another label, drawn by its frequency
    missing: float = 0.2  # share of utterances without scores, in dialogues that have them
    misheard: float = 0.0  # word error rate of the copy; 0 = no copy

    def __post_init__(self) -> None:
        for name in ("voice", "face", "mismatch", "missing", "misheard"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share and must be within 0..1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class FacePool:
    """`scores` float32[n, 7] of n pictures; `label` int[n], an index into the corpus's labels."""

    scores: Float32
    label: Ints

    def scores_as(self, drawn_label: Ints, rng: np.random.Generator) -> Float32:
        """float32[N, 7] of pictures with `drawn_label` int[N]; 0 where it is negative."""
        scores = np.zeros((len(drawn_label), SCORES_DIM), np.float32)
        for one in np.unique(drawn_label[drawn_label >= 0]):
            rows = np.flatnonzero(drawn_label == one)
            scores[rows] = self.scores[rng.choice(np.flatnonzero(self.label == one), len(rows))]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """What a recipe needs; None = not wanted."""

    voice: SpeechPool | None = None
    face: FacePool | None = None


def compose(features: FeatureSet, pools: Pools, config: ComposeConfig, seed: int) -> FeatureSet:
    """Features of real dialogues with scores from `pools`. Equal seeds give equal corpora.

    An utterance without audio gets no speech emotion scores; one without a label gets neither kind.
    """
    x, present, label = dict(features.x), dict(features.present), features.label.numpy()
    if config.voice and pools.voice:
        rng = np.random.default_rng((seed, 0))
        shown = _joined(features, config.voice, config.missing, rng) & features.present["audio"].numpy()
        scores = pools.voice.scores(features, drawn_labels(label, shown, config.mismatch, rng), rng)
        x["audio"] = torch.cat([features.x["audio"], torch.from_numpy(scores)], dim=1)
    if config.face and pools.face:
        rng = np.random.default_rng((seed, 1))
        shown = _joined(features, config.face, config.missing, rng)
        scores = pools.face.scores_as(drawn_labels(label, shown, config.mismatch, rng), rng)
        x["visual"], present["visual"] = torch.from_numpy(scores), torch.from_numpy(shown)
    return replace(features, x=x, present=present)


def drawn_labels(label: Ints, shown: Bools, mismatch: float, rng: np.random.Generator) -> Ints:
    """For labels int[N]: the label itself or, for a share `mismatch`, another; -1 where not `shown`."""
    counts = np.bincount(label[label >= 0])
    others = np.array([_another(one, counts, rng) if one >= 0 else one for one in label])
    drawn: Ints = np.where(shown, np.where(rng.random(len(label)) < mismatch, others, label), -1)
    return drawn


def _another(label: int, counts: Ints, rng: np.random.Generator) -> int:
    weight = counts.astype(np.float64)
    weight[label] = 0
    return int(rng.choice(len(counts), p=weight / weight.sum())) if weight.any() else int(label)


def _joined(features: FeatureSet, share: float, missing: float, rng: np.random.Generator) -> Bools:
    """bool[N]: whole dialogues, since a conversation has a camera or not, with gaps inside them."""
    chosen = rng.random(len(features.lengths)) < share
    kept = rng.random(len(features.label)) >= missing
    joined: Bools = np.repeat(chosen, features.lengths.numpy()) & kept & (features.label.numpy() >= 0)
    return joined

"""A composed corpus: real dialogues, combined with speech emotion and face scores of other people.

Text, prosody and labels stay real. The scores (`log_ratio_scores`) are those of the speech emotion and the expression
network for a clip or a picture from a `Pool` that they were not trained on, with the label of the utterance. A share
of them has another label, some are missing, and some dialogues get none, so that the network relies on them no more
than is justified live.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.data.features import FeatureSet
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.log_ratio import SCORES_DIM
from cberl.encoders.normalize import RunningNormalizer, fit_prior
from cberl.encoders.prosody import PROSODY_NAMES
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

    @property
    def wanted(self) -> dict[str, float]:
        """The pools that are needed, with their shares."""
        return {name: share for name, share in (("voice", self.voice), ("face", self.face)) if share}


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """`scores` float32[n, 7] of n clips or pictures; `label` int[n], an index into the corpus's labels."""

    scores: Float32
    label: Ints


Pools = Mapping[str, Pool]  # by the names of `ComposeConfig`: "voice" (speech emotion) and "face", if wanted


def compose(
    features: FeatureSet, pools: Pools, config: ComposeConfig, audio: AudioEncoderConfig, seed: int
) -> FeatureSet:
    """Features of real dialogues with scores from `pools`. Equal seeds give equal corpora.

    Speech emotion scores are normalised by the speaker's past, as `AudioHistory` does, with the prior of `audio`. An
    utterance without audio gets none; one without a label gets neither kind.
    """
    x, present = dict(features.x), dict(features.present)
    for n, (kind, share) in enumerate(config.wanted.items()):
        rng = np.random.default_rng((seed, n))
        shown = _joined(features, share, config.missing, rng)
        if kind == "voice":
            shown &= features.present["audio"].numpy()
        scores = draw(pools[kind], features.label.numpy(), shown, config.mismatch, rng)
        if kind == "voice":
            normalised = torch.from_numpy(_normalised(features, scores, audio))
            x["audio"] = torch.cat([features.x["audio"], normalised], dim=1)
        else:
            x["visual"] = torch.from_numpy(np.nan_to_num(scores, nan=0.0))
            present["visual"] = torch.from_numpy(shown)
    return replace(features, x=x, present=present)


def speech_emotion_prior(pool: Pool, label: Ints, mismatch: float) -> tuple[list[float], list[float]]:
    """(mean, sd) of the seven scores if every utterance labelled `label`, int[N], had some."""
    return fit_prior(draw(pool, label, label >= 0, mismatch, np.random.default_rng(0)))


def draw(pool: Pool, label: Ints, shown: Bools, mismatch: float, rng: np.random.Generator) -> Float32:
    """float32[N, 7] for labels int[N], NaN where not `shown`: of the label or, for a share `mismatch`, of another."""
    counts = np.bincount(label[label >= 0], minlength=int(pool.label.max()) + 1)
    others = np.array([_another(one, counts, rng) if one >= 0 else one for one in label])
    drawn_as = np.where(rng.random(len(label)) < mismatch, others, label)
    scores = np.full((len(label), SCORES_DIM), np.nan, np.float32)
    for one in range(len(counts)):
        rows, of_label = np.flatnonzero(shown & (drawn_as == one)), np.flatnonzero(pool.label == one)
        if len(rows):
            scores[rows] = pool.scores[rng.choice(of_label, len(rows))]
    return scores


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


def _normalised(features: FeatureSet, scores: Float32, audio: AudioEncoderConfig) -> Float32:
    """By each speaker's past in each dialogue; 0 where there are no scores."""
    first = len(PROSODY_NAMES)
    parts: list[Float32] = []
    for rows in np.split(np.arange(len(scores)), features.lengths.cumsum(0)[:-1].numpy()):
        past = RunningNormalizer(audio.prior_mean[first:], audio.prior_sd[first:], audio.prior_weight)
        parts.append(past.push_all((str(int(features.speaker[row])), scores[row]) for row in rows))
    return np.concatenate(parts)

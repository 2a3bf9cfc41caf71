"""A composed corpus: real dialogues, each utterance joined with a voice and a face that show its label, mostly.

Words, prosody and labels stay real. What is joined is what the speech and the expression network say (`evidence`) of a
clip or a picture from a `Pool` that they were not trained on. Some of it shows another label, some is missing, and some
dialogues get none, so that the network leans on voice and face no more than life allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cberl.data.features import FeatureSet, Float32
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.log_ratio import EVIDENCE_DIM
from cberl.encoders.normalize import RunningNormalizer, fit_prior
from cberl.encoders.prosody import PROSODY_NAMES

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ComposeConfig:
    """The shares of voice and face are of dialogues, drawn apart; the rest keeps what is real.

    A misheard copy has neither case nor punctuation: live, words come from a recogniser that gives none.
    """

    voice: float = 0.0  # 0 = no speech network
    face: float = 0.0  # 0 = no visual modality
    mismatch: float = 0.4  # share of what is joined that shows another label, by how often it occurs
    missing: float = 0.2  # share of utterances without, in a dialogue that has it: nobody in the picture, no voice
    misheard: float = 0.0  # word error rate of a second copy of every dialogue, as a recogniser writes; 0 = no copy

    def __post_init__(self) -> None:
        for name in ("voice", "face", "mismatch", "missing", "misheard"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share and must be within 0..1, not {getattr(self, name)}")

    @property
    def wanted(self) -> dict[str, float]:
        """The kinds of pool that are needed, with their shares."""
        return {name: share for name, share in (("voice", self.voice), ("face", self.face)) if share}


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """`evidence` float32[n, 7] of n clips or pictures; `label` int[n], an index into the corpus's labels."""

    evidence: Float32
    label: Ints


Pools = Mapping[str, Pool]  # "voice" and "face", as far as wanted


def compose(
    features: FeatureSet, pools: Pools, config: ComposeConfig, audio: AudioEncoderConfig, seed: int
) -> FeatureSet:
    """Features of real dialogues with what is joined. Equal seeds give equal corpora.

    `audio` is the encoder that reads what is joined: a voice is normalised by its speaker's past, as live. An utterance
    without audio gets no voice; one without a label gets neither.
    """
    x, present = dict(features.x), dict(features.present)
    for n, (kind, share) in enumerate(config.wanted.items()):
        rng = np.random.default_rng((seed, n))
        shown = _joined(features, share, config.missing, rng)
        if kind == "voice":
            shown &= features.present["audio"].numpy()
        opinion = draw(pools[kind], features.label.numpy(), shown, config.mismatch, rng)
        if kind == "voice":
            voice = torch.from_numpy(_normalised(features, opinion, audio))
            x["audio"] = torch.cat([features.x["audio"], voice], dim=1)
        else:
            x["visual"] = torch.from_numpy(np.nan_to_num(opinion, nan=0.0))
            present["visual"] = torch.from_numpy(shown)
    return replace(features, x=x, present=present)


def voice_prior(voices: Pool, label: Ints, mismatch: float) -> tuple[list[float], list[float]]:
    """(mean, sd) of the seven numbers, as if every utterance labelled `label`, int[N], had a voice."""
    return fit_prior(draw(voices, label, label >= 0, mismatch, np.random.default_rng(0)))


def draw(pool: Pool, label: Ints, shown: Bools, mismatch: float, rng: np.random.Generator) -> Float32:
    """float32[N, 7] for labels int[N], NaN where not `shown`: of the label, or, at `mismatch`, of another one."""
    counts = np.bincount(label[label >= 0], minlength=int(pool.label.max()) + 1)
    others = np.array([_another(one, counts, rng) if one >= 0 else one for one in label])
    seen_as = np.where(rng.random(len(label)) < mismatch, others, label)
    opinion = np.full((len(label), EVIDENCE_DIM), np.nan, np.float32)
    for one in range(len(counts)):
        rows, of_label = np.flatnonzero(shown & (seen_as == one)), np.flatnonzero(pool.label == one)
        if len(rows):
            opinion[rows] = pool.evidence[rng.choice(of_label, len(rows))]
    return opinion


def _another(label: int, counts: Ints, rng: np.random.Generator) -> int:
    weight = counts.astype(np.float64)
    weight[label] = 0
    return int(rng.choice(len(counts), p=weight / weight.sum())) if weight.any() else int(label)


def _joined(features: FeatureSet, share: float, missing: float, rng: np.random.Generator) -> Bools:
    """bool[N]: whole dialogues, since a conversation has a camera or has none; then gaps in them."""
    chosen = rng.random(len(features.lengths)) < share
    kept = rng.random(len(features.label)) >= missing
    joined: Bools = np.repeat(chosen, features.lengths.numpy()) & kept & (features.label.numpy() >= 0)
    return joined


def _normalised(features: FeatureSet, opinion: Float32, audio: AudioEncoderConfig) -> Float32:
    """By each speaker's past in each dialogue, as `AudioHistory` does; 0 where there is no voice."""
    first = len(PROSODY_NAMES)
    parts: list[Float32] = []
    for rows in np.split(np.arange(len(opinion)), features.lengths.cumsum(0)[:-1].numpy()):
        past = RunningNormalizer(audio.prior_mean[first:], audio.prior_sd[first:], audio.prior_weight)
        parts.append(past.push_all((str(int(features.speaker[row])), opinion[row]) for row in rows))
    return np.concatenate(parts)

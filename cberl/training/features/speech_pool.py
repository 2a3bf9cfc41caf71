"""Acted speech for a composed corpus: each person of a dialogue sounds like one actor, heard by a head that never was
trained on that actor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cberl.data.acted_speech import ActedClip
from cberl.data.features import FeatureSet
from cberl.encoders.log_ratio import SCORES_DIM, log_ratio_scores
from cberl.encoders.speech_emotion import SpeechHead, SpeechStates
from cberl.onnx import open_session
from cberl.training.encoders.speech_augment import SpeechAugmentation
from cberl.training.encoders.speech_head import ActedStates, HeadTraining, held_out_heads
from cberl.training.encoders.speech_states import pooled_states
from cberl.types import Float32

Ints = NDArray[np.int64]

COPIES = 4  # of each clip, all but the first augmented, since a call does not sound like a studio


@dataclass(frozen=True, slots=True, eq=False)
class SpeechPool:
    """n clips and the heads that score them.

    states float32[n, 768], pooled; label int[n]; actor int[n], an index into `group` int[actors], which is an index
    into the heads: mean and sd float32[heads, 768], weight float32[heads, 7, 768], bias float32[heads, 7],
    prior_weight float32[1].
    """

    states: Float32
    label: Ints
    actor: Ints
    group: Ints
    mean: Float32
    sd: Float32
    weight: Float32
    bias: Float32
    prior_weight: Float32

    @classmethod
    def of(cls, acted: ActedStates, wanted: Sequence[str], config: HeadTraining) -> Self:
        """The clips of the actors `wanted`, with heads fitted to the others in `acted`."""
        groups = held_out_heads(acted, config)
        heads = [head for _, head in groups]
        chosen = acted.of(wanted)
        clips, copies, dim = chosen.turns.shape
        states = chosen.turns.reshape(clips * copies, dim)
        present = ~np.isnan(states[:, 0])
        return cls(
            states=states[present],
            label=np.repeat(chosen.label, copies)[present],
            actor=np.repeat(np.array([list(wanted).index(str(name)) for name in chosen.actor]), copies)[present],
            group=np.array([next(n for n, (people, _) in enumerate(groups) if name in people) for name in wanted]),
            mean=np.stack([head.mean for head in heads]),
            sd=np.stack([head.sd for head in heads]),
            weight=np.stack([head.weight for head in heads]),
            bias=np.stack([head.bias for head in heads]),
            prior_weight=np.array([config.prior_weight], np.float32),
        )

    def head(self, actor: int) -> SpeechHead:
        """The one that never heard this actor."""
        n = self.group[actor]
        none = np.empty((0, self.states.shape[1]), np.float32)
        return SpeechHead(
            self.mean[n], self.sd[n], self.weight[n], self.bias[n], none, none[:, 0], none[:, 0],
            float(self.prior_weight[0]),
        )  # fmt: skip

    def scores(self, features: FeatureSet, drawn_label: Ints, rng: np.random.Generator) -> Float32:
        """float32[N, 7]: each utterance as an actor says something with its `drawn_label` int[N], negative = nothing.

        Normalised by the speaker's past in the dialogue, as `AudioHistory` does; 0 where there is nothing.
        """
        scores = np.zeros((len(drawn_label), SCORES_DIM), np.float32)
        ends = features.lengths.cumsum(0)[:-1].numpy()
        for dialogue in np.split(np.arange(len(drawn_label)), ends):
            for speaker in np.unique(features.speaker[dialogue]):
                rows = dialogue[features.speaker[dialogue].numpy() == speaker]
                actor = int(rng.integers(len(self.group)))
                head = self.head(actor)
                past = head.normalizer()
                for row in rows[drawn_label[rows] >= 0]:
                    state = past.push("", self.states[self._clip(actor, int(drawn_label[row]), rng)])
                    scores[row] = log_ratio_scores(head.probabilities(state))
        return scores

    def _clip(self, actor: int, label: int, rng: np.random.Generator) -> int:
        of_label = self.label == label
        here = np.flatnonzero(of_label & (self.actor == actor))
        return int(rng.choice(here if len(here) else np.flatnonzero(of_label)))


def states_of_clips(clips: Sequence[ActedClip], network: Path, cache: Path, made_from: str) -> ActedStates:
    """Kept in the folder `cache`; `made_from`: a digest of the clips' files and the network."""
    encoder = SpeechStates(open_session(network))
    pcm = [clip.pcm for clip in clips]
    states = pooled_states(pcm, encoder, COPIES, SpeechAugmentation(), (), cache, made_from, "acted speech")
    label, actor = (np.array([getattr(clip, name) for clip in clips]) for name in ("label", "actor"))
    return ActedStates(states.turns, label, actor)

"""The audio encoder in two parts: stateless feature extraction, and normalisation by the conversation so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from cberl.encoders.log_ratio import SCORES_DIM, log_ratio_scores
from cberl.encoders.normalize import RunningNormalizer
from cberl.encoders.prosody import PROSODY_NAMES, compress, prosody
from cberl.encoders.speech_emotion import STATES_DIM, SpeechEncoder, SpeechHead
from cberl.errors import EncoderError
from cberl.types import Float32, Float64

Features = Literal["prosody", "prosody+speech"]

DURATION, INTENSITY = PROSODY_NAMES.index("duration_s"), PROSODY_NAMES.index("intensity_db")


@dataclass(frozen=True, slots=True)
class AudioEncoderConfig:
    """What a checkpoint stores of its audio encoder; `dataclasses.asdict` of it is plain JSON and back."""

    prior_mean: Sequence[float]  # of the corpus's prosody, after `compress`; one per feature
    prior_sd: Sequence[float]
    features: Features = "prosody"
    prior_weight: float = 16.0  # in utterances; more is better for MELD's short dialogues, less for long conversations
    min_duration_s: float = 0.1  # shorter audio is absent
    speech_sha256: str = ""  # of the speech emotion network's files, for "prosody+speech"

    def __post_init__(self) -> None:
        if self.features not in get_args(Features):
            raise ValueError(f"audio features must be one of {get_args(Features)}, not {self.features!r}")
        if len(self.prior_mean) != len(PROSODY_NAMES) or len(self.prior_sd) != len(PROSODY_NAMES):
            raise ValueError(
                f"the prior of prosody has {len(PROSODY_NAMES)} numbers, "
                f"not {len(self.prior_mean)} and {len(self.prior_sd)}"
            )
        numbers = (*self.prior_mean, *self.prior_sd, self.prior_weight, self.min_duration_s)
        if not (all(map(math.isfinite, numbers)) and min(*self.prior_sd, self.prior_weight) > 0):
            raise ValueError("the prior must be finite, and its standard deviations and weight above zero")

    @property
    def raw_dim(self) -> int:
        """Length of the raw feature vector: the eight of prosody, then the states of the speech emotion network."""
        return len(PROSODY_NAMES) + (STATES_DIM if self.features == "prosody+speech" else 0)

    @property
    def dim(self) -> int:
        """Length of the vector in context: normalised prosody, then the scores of the speech emotion network."""
        return len(PROSODY_NAMES) + (SCORES_DIM if self.features == "prosody+speech" else 0)

    def prosody_only(self) -> "AudioEncoderConfig":
        """The same with the eight features of prosody alone."""
        return replace(self, features="prosody", speech_sha256="")


class DescribedAudio(NamedTuple):
    """`raw` float32[raw_dim]; `vocal_events`, such as "laughter", that were recognised in it."""

    raw: Float32
    vocal_events: tuple[str, ...] = ()


class AudioEncoder:
    """From audio to raw features. Stateless: safe to share between conversations and threads."""

    def __init__(self, config: AudioEncoderConfig, speech: SpeechEncoder | None = None) -> None:
        """`speech` is required for "prosody+speech" and ignored otherwise."""
        if config.features == "prosody+speech" and speech is None:
            raise ValueError(
                'audio features "prosody+speech" need a SpeechEncoder: give the folder of its weights to one'
            )
        self.config = config
        self.dim = config.dim
        self._speech = speech if config.features == "prosody+speech" else None

    def describe(self, pcm: Float32) -> DescribedAudio:
        """Raw features and vocal events of float32[n] at 16 kHz.

        A feature that does not exist is NaN. Prosody costs about half a percent of the audio's duration on one core,
        the speech emotion network as much.
        """
        numbers = prosody(pcm)
        if self._speech is None:
            return DescribedAudio(numbers)
        speech = self._speech.describe(pcm)
        if speech is None:
            return DescribedAudio(np.concatenate([numbers, np.full(STATES_DIM, np.nan, np.float32)]))
        return DescribedAudio(np.concatenate([numbers, speech.states]), speech.vocal_events)

    def history(self) -> "AudioHistory":
        """Of a conversation that starts."""
        return AudioHistory(self.config, self._speech.head if self._speech else None)


class AudioHistory:
    """The running normalisation of one conversation's audio features, by speaker."""

    def __init__(self, config: AudioEncoderConfig, head: SpeechHead | None = None) -> None:
        """`head` is required for "prosody+speech". Raises `EncoderError`."""
        if (config.features == "prosody+speech") != (head is not None):
            raise EncoderError(f"audio features {config.features!r}, head of the speech emotion network: {head}")
        self._config = config
        self._head = head
        self._prosody = RunningNormalizer(config.prior_mean, config.prior_sd, config.prior_weight)
        self._states = head.normalizer() if head else None

    def copy(self) -> "AudioHistory":
        """An independent history with the same past."""
        other = AudioHistory(self._config, self._head)
        other._prosody = self._prosody.copy()
        other._states = self._states.copy() if self._states else None
        return other

    def moments(self) -> dict[str, Float64]:
        """float64[3, raw_dim] per speaker: see `RunningNormalizer.moments`."""
        prosody, states = self._prosody.moments(), self._states.moments() if self._states else {}
        return {name: np.hstack([it, states[name]]) if name in states else it for name, it in prosody.items()}

    def restore(self, moments: Mapping[str, Float64]) -> None:
        """See `RunningNormalizer.restore`."""
        width = len(PROSODY_NAMES)
        self._prosody.restore({name: it[:, :width] for name, it in moments.items()})
        if self._states is not None:
            self._states.restore({name: it[:, width:] for name, it in moments.items()})

    def push(self, speaker: str, raw: Float32) -> Float32 | None:
        """Raw features, float32[raw_dim], in context: float32[dim]. Then adds them to the speaker's past.

        Prosody is normalised by the speaker's past; so are the states, from which the seven scores are computed then.
        Returns None and adds nothing where the audio is shorter than `min_duration_s` or silent.
        """
        if not self._usable(raw):
            return None
        states = None if self._states is None else self._states.push(speaker, raw[len(PROSODY_NAMES) :])
        return self._joined(self._prosody.push(speaker, _compressed(raw)), states, raw)

    def peek(self, speaker: str, raw: Float32) -> Float32 | None:
        """What `push` would return, without adding to the past: for interim results."""
        if not self._usable(raw):
            return None
        states = None if self._states is None else self._states.peek(speaker, raw[len(PROSODY_NAMES) :])
        return self._joined(self._prosody.peek(speaker, _compressed(raw)), states, raw)

    def _joined(self, numbers: Float32, states: Float32 | None, raw: Float32) -> Float32:
        """The scores are 0, as where all emotions are equally likely, for audio too short for the network."""
        if self._head is None or states is None:
            return numbers
        if np.isnan(raw[-1]):
            return np.concatenate([numbers, np.zeros(SCORES_DIM, np.float32)])
        return np.concatenate([numbers, log_ratio_scores(self._head.probabilities(states))])

    def _usable(self, raw: Float32) -> bool:
        if raw.shape != (self._config.raw_dim,):
            raise ValueError(f"expected {self._config.raw_dim} raw audio features, got an array of shape {raw.shape}")
        return bool(raw[DURATION] >= self._config.min_duration_s and np.isfinite(raw[INTENSITY]))


def _compressed(raw: Float32) -> Float32:
    return compress(raw[: len(PROSODY_NAMES)])

"""The audio encoder in two parts: stateless feature extraction, and normalisation by the conversation so far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from cberl.encoders.log_ratio import SCORES_DIM, log_ratio_scores
from cberl.encoders.logmel import BANDS, pooled_log_mel
from cberl.encoders.normalize import RunningNormalizer
from cberl.encoders.prosody import PROSODY_NAMES, compress, prosody
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.types import Float32

Features = Literal["prosody", "prosody+logmel", "prosody+speech"]
EXTRA = {"prosody": 0, "prosody+logmel": 2 * BANDS, "prosody+speech": SCORES_DIM}  # features after the eight of prosody

DURATION, INTENSITY = PROSODY_NAMES.index("duration_s"), PROSODY_NAMES.index("intensity_db")


@dataclass(frozen=True, slots=True)
class AudioEncoderConfig:
    """What a checkpoint stores of its audio encoder; `dataclasses.asdict` of it is plain JSON and back."""

    prior_mean: Sequence[float]  # of the corpus, after `compress`; one per dimension
    prior_sd: Sequence[float]
    features: Features = "prosody"
    prior_weight: float = 16.0  # in utterances; more is better for MELD's short dialogues, less for long conversations
    min_duration_s: float = 0.1  # shorter audio is absent
    speech_sha256: str = ""  # of the speech emotion network's files, for "prosody+speech"

    def __post_init__(self) -> None:
        if self.features not in get_args(Features):
            raise ValueError(f"audio features must be one of {get_args(Features)}, not {self.features!r}")
        if len(self.prior_mean) != self.dim or len(self.prior_sd) != self.dim:
            raise ValueError(
                f"audio features {self.features!r} need a prior of {self.dim} numbers, "
                f"not {len(self.prior_mean)} and {len(self.prior_sd)}"
            )

    @property
    def dim(self) -> int:
        """Length of the feature vector, raw and normalised."""
        return len(PROSODY_NAMES) + EXTRA[self.features]

    def prosody_only(self) -> "AudioEncoderConfig":
        """The same with the eight features of prosody alone."""
        mean, sd = (list(row)[: len(PROSODY_NAMES)] for row in (self.prior_mean, self.prior_sd))
        return replace(self, prior_mean=mean, prior_sd=sd, features="prosody", speech_sha256="")


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
        self._speech = speech

    def describe(self, pcm: Float32) -> Float32:
        """Raw features, float32[dim], of float32[n] at 16 kHz: the eight of prosody, then those of `features`.

        NaN where a feature does not exist. Prosody costs about 1 % of the audio's duration on one core.
        """
        numbers = prosody(pcm)
        if self.config.features == "prosody":
            return numbers
        if self.config.features == "prosody+logmel" or self._speech is None:
            return np.concatenate([numbers, pooled_log_mel(pcm)])
        emotion = self._speech.describe(pcm)
        absent = np.full(SCORES_DIM, np.nan, np.float32)
        return np.concatenate([numbers, absent if emotion is None else log_ratio_scores(emotion[-SCORES_DIM:])])


class AudioHistory:
    """The running normalisation of one conversation's audio features, by speaker."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        self._config = config
        self._normalizer = RunningNormalizer(config.prior_mean, config.prior_sd, config.prior_weight)

    def copy(self) -> "AudioHistory":
        """An independent history with the same past."""
        other = AudioHistory(self._config)
        other._normalizer = self._normalizer.copy()
        return other

    def push(self, speaker: str, raw: Float32) -> Float32 | None:
        """Normalises raw features, float32[dim], by the speaker's past, then adds them to it.

        Returns None and adds nothing where the audio is shorter than `min_duration_s` or silent.
        """
        return self._normalizer.push(speaker, scaled(raw)) if self._usable(raw) else None

    def peek(self, speaker: str, raw: Float32) -> Float32 | None:
        """What `push` would return, without adding to the past: for interim results."""
        return self._normalizer.peek(speaker, scaled(raw)) if self._usable(raw) else None

    def _usable(self, raw: Float32) -> bool:
        if raw.shape != (self._config.dim,):
            raise ValueError(f"expected {self._config.dim} raw audio features, got an array of shape {raw.shape}")
        return bool(raw[DURATION] >= self._config.min_duration_s and np.isfinite(raw[INTENSITY]))


def scaled(raw: Float32) -> Float32:
    """Raw features on the scale on which they are normalised and priors are fitted: prosody goes through `compress`."""
    rest = raw[len(PROSODY_NAMES) :]
    return np.concatenate([compress(raw[: len(PROSODY_NAMES)]), rest])

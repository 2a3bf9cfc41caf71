"""The audio encoder: a stateless heavy half for a worker thread, and a light half with a conversation's memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from cberl.encoders.frames import Float32
from cberl.encoders.log_ratio import EVIDENCE_DIM, evidence
from cberl.encoders.logmel import BANDS, SAMPLE_RATE, pooled_log_mel
from cberl.encoders.normalize import RunningNormalizer
from cberl.encoders.prosody import PROSODY_NAMES, compress, prosody
from cberl.encoders.speech_emotion import SpeechEncoder

Features = Literal["prosody", "prosody+logmel", "prosody+speech"]
EXTRA = {"prosody": 0, "prosody+logmel": 2 * BANDS, "prosody+speech": EVIDENCE_DIM}  # numbers after the eight

DURATION, INTENSITY = PROSODY_NAMES.index("duration_s"), PROSODY_NAMES.index("intensity_db")


@dataclass(frozen=True, slots=True)
class AudioEncoderConfig:
    """What a checkpoint must remember of its audio encoder; `dataclasses.asdict` of it is plain JSON and back."""

    prior_mean: Sequence[float]  # of the corpus, after `compress`: one a dimension
    prior_sd: Sequence[float]
    features: Features = "prosody"
    prior_weight: float = 16.0  # in utterances; MELD dev likes more (short dialogues), long talks and new rooms less
    min_duration_s: float = 0.1  # shorter sounds are absent
    speech_sha256: str = ""  # of the speech network's files, where `features` asks for it

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
        """Length of what the encoder gives, raw and normalised alike."""
        return len(PROSODY_NAMES) + EXTRA[self.features]

    def prosody_only(self) -> "AudioEncoderConfig":
        """The same without what `features` adds to the eight numbers."""
        mean, sd = (list(row)[: len(PROSODY_NAMES)] for row in (self.prior_mean, self.prior_sd))
        return replace(self, prior_mean=mean, prior_sd=sd, features="prosody", speech_sha256="")


class AudioEncoder:
    """From sound to numbers, without memory: safe to share between conversations and threads."""

    def __init__(self, config: AudioEncoderConfig, speech: SpeechEncoder | None = None) -> None:
        """`speech` is needed for "prosody+speech" alone."""
        if config.features == "prosody+speech" and speech is None:
            raise ValueError(
                'audio features "prosody+speech" need a SpeechEncoder: give the folder of its weights to one'
            )
        self.config = config
        self.dim = config.dim
        self._speech = speech

    def describe(self, pcm: Float32) -> Float32:
        """float32[dim], raw, of float32[n] at 16 kHz: the eight prosody numbers, then what else `features` asks for.

        NaN is what does not exist. Prosody costs about 1 % of the sound's duration on one core.
        """
        numbers = prosody(pcm, SAMPLE_RATE)
        if self.config.features == "prosody":
            return numbers
        if self.config.features == "prosody+logmel" or self._speech is None:
            return np.concatenate([numbers, pooled_log_mel(pcm)])
        voice = self._speech.describe(pcm)
        opinion = np.full(EVIDENCE_DIM, np.nan, np.float32) if voice is None else evidence(voice[-EVIDENCE_DIM:])
        return np.concatenate([numbers, opinion])


class AudioHistory:
    """One conversation's memory of how its speakers usually sound."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        self._config = config
        self._normalizer = RunningNormalizer(config.prior_mean, config.prior_sd, config.prior_weight)

    def copy(self) -> "AudioHistory":
        """As it is now, to go on by itself."""
        other = AudioHistory(self._config)
        other._normalizer = self._normalizer.copy()
        return other

    def push(self, speaker: str, raw: Float32) -> Float32 | None:
        """Normalise `describe`'s float32[dim] (or a corpus's raw numbers) by the speaker's past, and remember it.

        None, and nothing remembered, where there is no usable sound: under `min_duration_s`, or silent.
        """
        return self._normalizer.push(speaker, scaled(raw)) if self._usable(raw) else None

    def peek(self, speaker: str, raw: Float32) -> Float32 | None:
        """What `push` would return, without remembering: for interim results."""
        return self._normalizer.peek(speaker, scaled(raw)) if self._usable(raw) else None

    def _usable(self, raw: Float32) -> bool:
        if raw.shape != (self._config.dim,):
            raise ValueError(f"expected {self._config.dim} raw audio numbers, got an array of shape {raw.shape}")
        return bool(raw[DURATION] >= self._config.min_duration_s and np.isfinite(raw[INTENSITY]))


def scaled(raw: Float32) -> Float32:
    """Raw numbers as they are normalised and priors are fitted: the eight of prosody compressed."""
    spectrum = raw[len(PROSODY_NAMES) :]
    return np.concatenate([compress(raw[: len(PROSODY_NAMES)]), spectrum])

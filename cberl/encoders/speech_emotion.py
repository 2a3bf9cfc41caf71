"""Speech emotion and vocal events from the first layers of Whisper's encoder (see `cberl.nn.speech`).

Two parts: `SpeechEncoder`, stateless, from audio to pooled states and vocal events; `SpeechHead`, a linear layer from
states that are normalised by the speaker's past to the probabilities of MELD's labels. How a voice sounds depends on
the person more than on the emotion, so the normalisation comes first.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cberl.encoders.normalize import RunningNormalizer
from cberl.errors import EncoderError
from cberl.onnx import open_network
from cberl.types import SAMPLE_RATE, Float32

STATES_DIM = 768
VOCAL_EVENTS = ("laughter", "crying", "sigh", "scream", "panting")
MIN_S = 0.3
# Whisper was trained on 30 s; the mean state of a longer window loses the emotion (10 s in one: 34 instead of 76 %).
WINDOW_S = 3.0
MAX_WINDOWS = 6
FRAME = 320  # samples per state: 20 ms
VOICED_DB = 25.0  # below the loudest frame; quieter ones are pauses, consonants and background
LEVEL = 0.1  # root mean square of voiced frames as the network reads them, whatever the distance of the microphone
SILENCE = 1e-4  # peak to peak, of full scale 2


@dataclass(frozen=True, slots=True, eq=False)
class SpeechDescription:
    """`states` float32[768]; `vocal_events`: those of `VOCAL_EVENTS` that were recognised with high precision."""

    states: Float32
    vocal_events: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SpeechHead:
    """Linear layers on states, with the corpus's statistics by which states are normalised at first.

    mean, sd: float32[768]; weight: float32[7, 768], bias: float32[7] for emotions, already divided by the temperature;
    event_weight: float32[events, 768], event_bias and event_threshold: float32[events], thresholds of probability.
    """

    mean: Float32
    sd: Float32
    weight: Float32
    bias: Float32
    event_weight: Float32
    event_bias: Float32
    event_threshold: Float32
    prior_weight: float = 4.0  # of `RunningNormalizer`, in utterances

    def normalizer(self) -> RunningNormalizer:
        """Without a past: of a conversation that starts."""
        return RunningNormalizer([*map(float, self.mean)], [*map(float, self.sd)], self.prior_weight)

    def probabilities(self, normalised: Float32) -> Float32:
        """float32[..., 7] of states [..., 768] normalised by the speaker's past."""
        logits = normalised @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: Float32 = (odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32)
        return shares

    def event_probabilities(self, states: Float32) -> Float32:
        """float32[..., events] of raw states [..., 768], each event by itself."""
        logits = (states - self.mean) / self.sd @ self.event_weight.T + self.event_bias
        shares: Float32 = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return shares


class SpeechEncoder:
    """Audio -> pooled states and vocal events. Stateless and thread-safe."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """`folder` holds `speech.onnx`, `speech.json` and `speech.safetensors`. Raises `EncoderError`."""
        session, config = open_network(folder, "speech", threads=threads)
        self.head = load_head(folder / "speech.safetensors", config)
        self._states = SpeechStates(session)

    def describe(self, pcm: Float32) -> SpeechDescription | None:
        """Of float32[n] at 16 kHz; None for less than 0.3 s and for silence.

        Audio is cut into equal windows of at most 3 s; of more than 18 s, six windows are read, evenly spread. An event
        is reported if it is recognised in any window.
        """
        rows = self._states(pcm)
        if rows is None:
            return None
        probability = self.head.event_probabilities(rows.states).max(axis=0)
        found = np.flatnonzero(probability > self.head.event_threshold)
        return SpeechDescription(rows.pooled(), tuple(VOCAL_EVENTS[n] for n in found))


@dataclass(frozen=True, slots=True, eq=False)
class WindowStates:
    """`states` float32[windows, 768]; `voiced` int[windows], frames: windows without any are left out."""

    states: Float32
    voiced: NDArray[np.int64]

    def pooled(self) -> Float32:
        """float32[768]: the mean over all voiced frames."""
        mean: Float32 = np.average(self.states, axis=0, weights=self.voiced).astype(np.float32)
        return mean


class SpeechStates:
    """The states of audio, by an ONNX session of `WhisperStates`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._mel = FeatureExtractor(feature_size=80)

    def __call__(self, pcm: Float32) -> WindowStates | None:
        """Of float32[n] at 16 kHz; None for less than 0.3 s and for silence."""
        if len(pcm) < MIN_S * SAMPLE_RATE or np.ptp(pcm) < SILENCE:
            return None
        windows = equal_windows(pcm)
        voiced = voiced_frames(windows)
        level = np.sqrt((windows.reshape(*voiced.shape, FRAME)[voiced].astype(np.float64) ** 2).mean())
        mel = np.stack([self._mel(window, padding=0) for window in (windows * (LEVEL / level)).astype(np.float32)])
        given = {"mel": mel.astype(np.float32), "voiced": voiced.astype(np.float32)}
        (states,) = self._session.run(["states"], given)
        counts = voiced.sum(axis=1)
        return WindowStates(states[counts > 0], counts[counts > 0])


def equal_windows(pcm: Float32) -> Float32:
    """float32[windows, n], each a whole number of frames and at most 3 s long; what is over is left out."""
    count = min(MAX_WINDOWS, math.ceil(len(pcm) / (WINDOW_S * SAMPLE_RATE)))
    length = min(len(pcm) // count, round(WINDOW_S * SAMPLE_RATE)) // FRAME * FRAME
    starts = np.linspace(0, len(pcm) - length, count).astype(int)
    return np.stack([pcm[start : start + length] for start in starts])


def voiced_frames(windows: Float32) -> NDArray[np.bool_]:
    """bool[windows, frames] of float32[windows, n]: within 25 dB of the loudest frame of all."""
    frames = windows.reshape(len(windows), -1, FRAME)
    power = (frames.astype(np.float64) ** 2).mean(axis=2)
    near: NDArray[np.bool_] = power >= power.max() * 10 ** (-VOICED_DB / 10)
    return near


def load_head(file: Path, config: dict[str, Any]) -> SpeechHead:
    """Raises `EncoderError` for a file that is missing, damaged or of other shapes."""
    try:
        arrays = load_file(file)
        head = SpeechHead(**arrays, prior_weight=float(config["prior_weight"]))
    except (OSError, SafetensorError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise EncoderError(f"{file} is not the head of a speech emotion network: {error}") from error
    shapes = (head.mean.shape, head.weight.shape, head.event_weight.shape, head.event_threshold.shape)
    events = len(VOCAL_EVENTS)
    wanted = ((STATES_DIM,), (len(config["labels"]), STATES_DIM), (events, STATES_DIM), (events,))
    if shapes != wanted or tuple(config["vocal_events"]) != VOCAL_EVENTS:
        raise EncoderError(f"{file} has arrays of shapes {shapes}; this encoder needs {wanted}")
    return head

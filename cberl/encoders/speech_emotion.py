"""Speech emotion recognition by a small network on log-mel frames (see `cberl.training.encoders.speech`)."""

import math
from pathlib import Path

import numpy as np

from cberl.encoders.logmel import log_mel
from cberl.encoders.onnx import open_network
from cberl.errors import EncoderError
from cberl.types import SAMPLE_RATE, Float32

SPEECH_DIM = 64 + 7  # a vector, then a probability for each of MELD's labels
MIN_S = 0.3
WINDOW_S = 4.0
MAX_WINDOWS = 4
SILENCE = 1e-4  # peak to peak, of full scale 2


class SpeechEncoder:
    """Audio -> a vector and the probabilities of MELD's seven labels. Stateless and thread-safe."""

    dim = SPEECH_DIM

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """`folder` holds `speech.onnx` and `speech.json`. Raises `EncoderError`."""
        self._session, config = open_network(folder, "speech", threads=threads)
        self.labels = tuple(config["labels"])
        if int(config["dim"]) + len(self.labels) != SPEECH_DIM:
            raise EncoderError(f"{folder} holds a network of {config['dim']} dimensions; this encoder needs 64")

    def describe(self, pcm: Float32) -> Float32 | None:
        """float32[71] of float32[n] at 16 kHz; None for less than 0.3 s and for silence.

        Audio longer than 4 s is read in at most four windows of 4 s, evenly spread; their results are averaged.
        """
        if len(pcm) < MIN_S * SAMPLE_RATE or np.ptp(pcm) < SILENCE:
            return None
        rows = [self._encode(log_mel(window)) for window in spread_windows(pcm)]
        described: Float32 = np.mean(rows, axis=0, dtype=np.float32)
        return described

    def _encode(self, frames: Float32) -> Float32:
        vector, probabilities = self._session.run(["vector", "probabilities"], {"frames": frames[None]})
        return np.concatenate([vector[0], probabilities[0]])


def spread_windows(pcm: Float32) -> list[Float32]:
    """At most four windows of 4 s, from the first sample to the last; all of `pcm` if it is no longer than one."""
    length = round(WINDOW_S * SAMPLE_RATE)
    count = min(MAX_WINDOWS, math.ceil(len(pcm) / length))
    if count <= 1:
        return [pcm]
    starts = np.linspace(0, len(pcm) - length, count).round().astype(int)
    return [pcm[start : start + length] for start in starts]

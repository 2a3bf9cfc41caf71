"""Log-mel spectrum, the input of the speech emotion network."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torchaudio

from cberl.types import SAMPLE_RATE, Float32

WINDOW = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms
BANDS = 64
FLOOR = 1e-10  # power: below the quantisation noise of 16-bit audio


@lru_cache(maxsize=1)
def _mel_power() -> Any:
    # center=False: frame i is samples [i * HOP, i * HOP + WINDOW) and nothing after them.
    return torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS, center=False, power=2.0
    )


def log_mel(pcm: Float32) -> Float32:
    """Natural log of mel-band power, float32[frames, 64], of float32[n] at 16 kHz; no frame for less than 25 ms."""
    if len(pcm) < WINDOW:
        return np.empty((0, BANDS), np.float32)
    with torch.inference_mode():
        power = _mel_power()(torch.from_numpy(np.ascontiguousarray(pcm, dtype=np.float32)))
        frames: Float32 = power.clamp_min(FLOOR).log().T.numpy()  # (bands, frames) -> (frames, bands)
    return frames


def pooled_log_mel(pcm: Float32) -> Float32:
    """Mean, then standard deviation, of each band over time: float32[128]; NaN if there is no frame."""
    frames = log_mel(pcm)
    if len(frames) == 0:
        return np.full(2 * BANDS, np.nan, np.float32)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])

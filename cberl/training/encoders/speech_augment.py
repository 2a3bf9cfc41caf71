"""Augmentation of speech towards the conditions of a call: speed, gain, noise, a narrow band, a random crop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cberl.types import SAMPLE_RATE, Float32


@dataclass(frozen=True, slots=True)
class SpeechAugmentation:
    """`*_share`: the share of clips that a change applies to."""

    speed: float = 0.12  # maximum change of speed, and of pitch with it
    gain_db: float = 12.0  # maximum, up or down
    noise_share: float = 0.6
    snr_db: tuple[float, float] = (5.0, 35.0)
    narrow_share: float = 0.3  # low-pass at 3.4 to 4 kHz, like a telephone
    tilt_db: float = 6.0  # maximum spectral tilt from 0 to 8 kHz, like that of a microphone
    crop_s: tuple[float, float] = (0.8, 2.6)
    masks: int = 2  # of SpecAugment (Park et al. 2019), in time and in frequency each
    mask_frames: int = 25
    mask_bands: int = 8


def augment_speech(pcm: Float32, length: int, config: SpeechAugmentation, rng: np.random.Generator) -> Float32:
    """float32[length]: a random crop of a clip, float32[n], augmented. Shorter clips are repeated first."""
    pcm = _speed(pcm, 1 + rng.uniform(-config.speed, config.speed))
    if len(pcm) < length:
        pcm = np.tile(pcm, -(-length // len(pcm)))
    start = int(rng.integers(0, len(pcm) - length + 1))
    pcm = pcm[start : start + length]
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum *= 10 ** (rng.uniform(-config.tilt_db, config.tilt_db) * hz / hz[-1] / 20)
    if rng.random() < config.noise_share:
        spectrum += _noise(spectrum, hz, rng.uniform(*config.snr_db), rng)
    if rng.random() < config.narrow_share:
        spectrum[hz > rng.uniform(3400, 4000)] = 0
    gain = 10 ** (rng.uniform(-config.gain_db, config.gain_db) / 20)
    altered: Float32 = (gain * np.fft.irfft(spectrum, length)).astype(np.float32)
    return altered


def mask_frames(frames: Tensor, config: SpeechAugmentation, rng: np.random.Generator) -> Tensor:
    """(B, T, bands), where random ranges of time and of bands are replaced by the mean of the row."""
    frames = frames.clone()
    fill = frames.mean(dim=(1, 2))
    for row in range(len(frames)):
        for _ in range(config.masks):
            width = int(rng.integers(0, min(config.mask_frames, frames.shape[1] // 4) + 1))
            start = int(rng.integers(0, frames.shape[1] - width + 1))
            frames[row, start : start + width] = fill[row]
            width = int(rng.integers(0, config.mask_bands + 1))
            start = int(rng.integers(0, frames.shape[2] - width + 1))
            frames[row, :, start : start + width] = fill[row]
    return frames


def _speed(pcm: Float32, factor: float) -> Float32:
    at = np.arange(0, len(pcm) - 1, factor)
    resampled: Float32 = np.interp(at, np.arange(len(pcm)), pcm).astype(np.float32)
    return resampled


def _noise(
    spectrum: NDArray[np.complexfloating], hz: NDArray[np.floating], snr_db: float, rng: np.random.Generator
) -> NDArray[np.complexfloating]:
    """The spectrum of Gaussian noise at a signal-to-noise ratio; power ~ frequency^-a, a from 0 (white) to 1.5."""
    colour = np.maximum(hz, 50.0) ** (-rng.uniform(0, 1.5) / 2)
    noise = colour * (rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz)))
    level = np.linalg.norm(spectrum) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
    coloured: NDArray[np.complexfloating] = level * noise
    return coloured

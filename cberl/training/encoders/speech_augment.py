"""Augmentation of speech towards the conditions of a call: speed, gain, room, noise, telephone, Opus, a crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
import torch
from torchaudio.functional import fftconvolve, mu_law_decoding, mu_law_encoding, resample

from cberl.types import SAMPLE_RATE, Float32

TELEPHONE_RATE = 8_000
OPUS_RATE = 48_000


@dataclass(frozen=True, slots=True)
class SpeechAugmentation:
    """`*_share`: the share of clips that a change applies to."""

    speed: float = 0.1  # maximum change of speed, and of pitch with it
    gain_db: float = 12.0  # maximum, up or down
    room_share: float = 0.3
    reverberation_s: tuple[float, float] = (0.15, 0.6)  # until the echo has faded by 60 dB
    noise_share: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    telephone_share: float = 0.25  # 8 kHz, G.711
    opus_share: float = 0.25  # of the rest
    opus_bit_rate: tuple[int, int] = (8_000, 24_000)
    crop_share: float = 0.3
    crop_s: tuple[float, float] = (0.8, 2.0)


def augment_speech(
    pcm: Float32, config: SpeechAugmentation, rng: np.random.Generator, noises: Sequence[Float32] = ()
) -> Float32:
    """A clip, float32[n] at 16 kHz, as it might arrive in a call. `noises`: recordings; none = coloured noise."""
    pcm = _speed(pcm, 1 + rng.uniform(-config.speed, config.speed))
    if rng.random() < config.crop_share:
        length = min(len(pcm), round(rng.uniform(*config.crop_s) * SAMPLE_RATE))
        start = int(rng.integers(0, len(pcm) - length + 1))
        pcm = pcm[start : start + length]
    if rng.random() < config.room_share:
        pcm = reverberated(pcm, rng.uniform(*config.reverberation_s), rng)
    if rng.random() < config.noise_share:
        noise = _recorded_noise(noises, len(pcm), rng) if len(noises) else _coloured_noise(len(pcm), rng)
        pcm = mixed(pcm, noise, rng.uniform(*config.snr_db))
    pcm = (pcm * 10 ** (rng.uniform(-config.gain_db, config.gain_db) / 20)).clip(-1, 1).astype(np.float32)
    if rng.random() < config.telephone_share:
        return telephone(pcm)
    if rng.random() < config.opus_share:
        return opus(pcm, int(rng.integers(*config.opus_bit_rate)))
    return pcm


def mixed(pcm: Float32, noise: Float32, snr_db: float) -> Float32:
    """`pcm` with noise of the same length at a signal-to-noise ratio."""
    level = np.linalg.norm(pcm) / max(float(np.linalg.norm(noise)), 1e-9) * 10 ** (-snr_db / 20)
    sum_: Float32 = (pcm + level * noise).astype(np.float32)
    return sum_


def telephone(pcm: Float32) -> Float32:
    """Through a telephone line: 8 kHz, eight bits by mu-law (ITU-T G.711). The same length."""
    narrow = resample(torch.from_numpy(pcm), SAMPLE_RATE, TELEPHONE_RATE)
    wide = resample(mu_law_decoding(mu_law_encoding(narrow.clamp(-1, 1), 256), 256), TELEPHONE_RATE, SAMPLE_RATE)
    heard: Float32 = wide[: len(pcm)].numpy()
    return heard


def opus(pcm: Float32, bit_rate: int) -> Float32:
    """Through the Opus codec, as in WebRTC. The same length, or up to 20 ms shorter."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = OPUS_RATE, "mono", "s16"
    encoder.bit_rate, encoder.options = bit_rate, {"application": "voip"}
    decoder = av.CodecContext.create("libopus", "r")
    to_opus = av.AudioResampler("s16", "mono", OPUS_RATE, frame_size=OPUS_RATE // 50)
    to_pcm = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "flt", "mono")
    frame.sample_rate = SAMPLE_RATE
    packets = [packet for given in (frame, None) for part in to_opus.resample(given) for packet in encoder.encode(part)]
    decoded = [part for packet in [*packets, *encoder.encode(None)] for part in decoder.decode(packet)]
    parts = [out.to_ndarray()[0] for given in [*decoded, None] for out in to_pcm.resample(given)]
    heard: Float32 = np.concatenate(parts).astype(np.float32)
    return heard[: len(pcm)]


def reverberated(pcm: Float32, reverberation_s: float, rng: np.random.Generator) -> Float32:
    """In a room whose echo is noise that fades by 60 dB in this time. The same length and level."""
    time_s = np.arange(round(reverberation_s * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / reverberation_s)
    echo *= rng.uniform(0.3, 1.0) / np.linalg.norm(echo)
    echo[0] = 1.0  # the direct sound
    wet = fftconvolve(torch.from_numpy(pcm), torch.from_numpy(echo.astype(np.float32)))[: len(pcm)].numpy()
    level = np.linalg.norm(pcm) / max(float(np.linalg.norm(wet)), 1e-9)
    heard: Float32 = (level * wet).astype(np.float32)
    return heard


def _speed(pcm: Float32, factor: float) -> Float32:
    at = np.arange(0, len(pcm) - 1, factor)
    resampled: Float32 = np.interp(at, np.arange(len(pcm)), pcm).astype(np.float32)
    return resampled


def _recorded_noise(noises: Sequence[Float32], length: int, rng: np.random.Generator) -> Float32:
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(len(noise)))
    return np.resize(np.roll(noise, -start), length)


def _coloured_noise(length: int, rng: np.random.Generator) -> Float32:
    """Gaussian; power ~ frequency^-a, a from 0 (white) to 1.5."""
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 50.0)
    spectrum = hz ** (-rng.uniform(0, 1.5) / 2) * (rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz)))
    noise: Float32 = np.fft.irfft(spectrum, length).astype(np.float32)
    return noise

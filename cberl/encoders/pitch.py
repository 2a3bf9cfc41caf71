"""Pitch and harmonics-to-noise ratio, by autocorrelation.

Source: P. Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", Proceedings of the Institute of Phonetic Sciences 17, 97-110. Each frame has a few candidate
periods, and "unvoiced"; the path of least cost through all frames chooses among them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cberl.encoders.frames import (
    BLOCK_FRAMES,
    blocks,
    fast_length,
    find_peaks,
    frame_centres,
    power_spectrum,
    real_signal,
    real_spectrum,
)
from cberl.types import Float32, Float64, Int64

SILENT_PEAK = 1e-5  # peak amplitude below which there is digital silence: a third of the smallest 16-bit step
TINY = np.float32(1e-30)  # instead of the power of digital silence, by which nothing can be divided


@dataclass(frozen=True, slots=True)
class PitchSettings:
    """Settings of the tracker. The defaults are the usual ones for speech."""

    floor_hz: float = 75.0
    ceiling_hz: float = 600.0
    time_step_s: float = 0.01
    silence_threshold: float = 0.03  # of the loudest peak: frames below it are more likely unvoiced
    voicing_threshold: float = 0.45  # autocorrelation that a voiced frame must exceed
    octave_cost: float = 0.01  # per octave: of two equally periodic candidates, the higher wins
    octave_jump_cost: float = 0.35  # per octave between neighbouring frames
    voicing_change_cost: float = 0.14  # between neighbouring frames
    candidates: int = 15  # per frame, "unvoiced" included
    oversampling: int = 2  # of the autocorrelation, before a parabola refines its peaks


SPEECH = PitchSettings()


def pitch_track(pcm: Float32, sample_rate: int, settings: PitchSettings = SPEECH) -> tuple[Float64, Float64]:
    """(centres in s, pitch in Hz), each float64[frames]; NaN where unvoiced; empty for less than 3 / floor_hz s."""
    centres = frame_centres(len(pcm), sample_rate, 3 / settings.floor_hz, settings.time_step_s)
    loudest = _peak_amplitude(pcm)
    if len(centres) == 0 or loudest < SILENT_PEAK:
        return centres / sample_rate, np.full(len(centres), np.nan)
    length = int(3 / settings.floor_hz * sample_rate)
    found = [_candidates(f, loudest, sample_rate, settings) for f in blocks(pcm, centres, length)]
    hz = np.concatenate([hz for hz, _ in found])
    strength = np.concatenate([strength for _, strength in found])
    choice = _best_path(hz, strength, settings)
    return centres / sample_rate, hz[np.arange(len(hz)), choice]


def _peak_amplitude(pcm: Float32) -> float:
    return float(np.abs(pcm - pcm.mean(dtype=np.float64)).max()) if len(pcm) else 0.0


def _candidates(frames: Float32, loudest: float, sample_rate: int, s: PitchSettings) -> tuple[Float64, Float64]:
    """(pitch in Hz, strength) of each frame's candidates, [frames, candidates]; column 0 is "unvoiced" (NaN Hz)."""
    length = frames.shape[1]
    period = int(sample_rate / s.floor_hz)
    middle = frames[:, length // 2 - period : length // 2 + period]
    n_lags = (period + 1) * s.oversampling
    window, of_window = _window(length, n_lags, period, s.oversampling)
    frames = (frames - middle.mean(axis=1, keepdims=True)) * window
    half = round(sample_rate / s.floor_hz / 2)
    loudness = np.abs(frames[:, length // 2 - half : length // 2 + half]).max(axis=1) / loudest

    # Divided by the autocorrelation of the window, that of the signal remains (Boersma's equation 9).
    periodicity = _autocorrelation(frames, n_lags, period, s.oversampling) / of_window
    shortest = int(sample_rate / s.ceiling_hz * s.oversampling) - 1
    row, position, height = find_peaks(periodicity[:, shortest:])
    lag_s = (position + shortest) / s.oversampling / sample_rate
    height = np.where(height > 1, 1 / height, height)
    usable = (lag_s * s.ceiling_hz > 1) & (height > s.voicing_threshold / 2)
    row, lag_s, height = row[usable], lag_s[usable], height[usable]
    score = height - s.octave_cost * np.log2(s.ceiling_hz * lag_s)

    hz = np.full((len(frames), s.candidates), np.nan)
    strength = np.full((len(frames), s.candidates), -np.inf)
    quietness = 2 - loudness * (1 + s.voicing_threshold) / s.silence_threshold
    strength[:, 0] = s.voicing_threshold + np.maximum(0, quietness)
    kept, rank = _best_of_each_row(row, score, s.candidates - 1)
    hz[row[kept], rank + 1] = 1 / lag_s[kept]
    strength[row[kept], rank + 1] = score[kept]
    return hz, strength


@lru_cache
def _window(length: int, n_lags: int, longest_lag: int, oversampling: int) -> tuple[Float32, Float32]:
    """Hann's window, float32[length], and its autocorrelation, float32[1, n_lags]."""
    window = np.hanning(length + 2)[1:-1].astype(np.float32)
    return window, _autocorrelation(window[None], n_lags, longest_lag, oversampling)


def _autocorrelation(frames: Float32, n_lags: int, longest_lag: int, oversampling: int) -> Float32:
    """Normalised autocorrelation [frames, n_lags], lags 1/oversampling of a sample apart.

    Zero-padding the power spectrum interpolates exactly, because the autocorrelation is band-limited.
    """
    n_fft = fast_length(frames.shape[1] + longest_lag + 1)
    r = real_signal(power_spectrum(frames, n_fft), n_fft * oversampling)[:, :n_lags]
    return (r / np.maximum(r[:, :1], TINY)).astype(np.float32, copy=False)


def _best_of_each_row(row: Int64, score: Float64, most: int) -> tuple[Int64, Int64]:
    """(indices, rank within the row) of the `most` highest scores of each row; `row` is sorted."""
    order = np.lexsort((-score, row))
    rank = np.arange(len(row)) - np.searchsorted(row, row)  # `order` permutes only within rows
    kept = rank < most
    return order[kept], rank[kept]


def _best_path(hz: Float64, strength: Float64, s: PitchSettings) -> Int64:
    """The candidate of each frame, int64[frames], by Viterbi: maximises total strength minus the cost of changes."""
    used = int((strength > -np.inf).sum(axis=1).max())  # the candidates of a frame come first in its row
    hz, strength = hz[:, :used], strength[:, :used]
    n, k = hz.shape
    total = strength[0]
    came_from = np.zeros((n, k), np.int64)
    column = np.arange(k)
    for first in range(0, n - 1, BLOCK_FRAMES):
        for i, cost in enumerate(_costs_of_change(hz[first : first + BLOCK_FRAMES + 1], s), first + 1):
            reached = total - cost
            came_from[i] = reached.argmax(axis=1)
            total = reached[column, came_from[i]] + strength[i]
    path = np.empty(n, np.int64)
    path[-1] = total.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = came_from[i, path[i]]
    return path


def _costs_of_change(hz: Float64, s: PitchSettings) -> Float64:
    """From each candidate of a frame (last axis) to each of the next frame: float64[frames - 1, k, k]."""
    octave, unvoiced = np.log2(hz), np.isnan(hz)
    jump = s.octave_jump_cost * np.abs(octave[:-1, None, :] - octave[1:, :, None])
    change = s.voicing_change_cost * (unvoiced[:-1, None, :] ^ unvoiced[1:, :, None])
    scale = 0.01 / s.time_step_s  # the costs are stated for steps of 10 ms
    return scale * np.where(np.isnan(jump), change, jump)


def harmonicity(
    pcm: Float32, sample_rate: int, floor_hz: float = 75.0, step_s: float = 0.01, silence_threshold: float = 0.1
) -> Float64:
    """Harmonics-to-noise ratio in dB of each frame, float64[frames]; NaN where the frame is silent.

    From the cross-correlation of one longest period with the samples after it: its peak r is the harmonic share of the
    energy, and HNR = 10 lg r/(1-r).
    """
    centres = frame_centres(len(pcm), sample_rate, 2 / floor_hz, step_s)
    loudest = _peak_amplitude(pcm)
    if len(centres) == 0 or loudest < SILENT_PEAK:
        return np.full(len(centres), np.nan)
    period = int(sample_rate / floor_hz)
    found = [_frame_harmonicity(f, period, loudest, silence_threshold) for f in blocks(pcm, centres, 2 * period)]
    return np.concatenate(found)


def _frame_harmonicity(frames: Float32, period: int, loudest: float, silence_threshold: float) -> Float64:
    """HNR in dB, float64[frames], of windows [frames, 2 * period]."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    loudness = np.abs(frames[:, period - period // 2 : period + period // 2]).max(axis=1) / loudest
    n_fft = fast_length(3 * period)
    cross = real_spectrum(frames[:, :period], n_fft).conj() * real_spectrum(frames, n_fft)
    shared = 2 * real_signal(cross, 2 * n_fft)[:, : 2 * period]  # at every half sample of lag
    up_to: Float64 = np.zeros((len(frames), 2 * period + 1))
    np.cumsum(np.square(frames, dtype=np.float64), axis=1, out=up_to[:, 1:])
    energy = up_to[:, period:] - up_to[:, :-period]  # of the period that starts at each lag: [frames, period + 1]
    halfway = (energy[:, :-1] + energy[:, 1:]) / 2
    later = np.stack([energy[:, :-1], halfway], axis=2).reshape(len(frames), -1)  # (f, period, 2) -> (f, 2 * period)
    norm = np.sqrt(np.maximum(later * energy[:, :1], 1e-30)).astype(np.float32)
    r: Float32 = np.divide(shared, norm)
    row, _, height = find_peaks(r[:, 2:])
    best = np.full(len(frames), -np.inf)
    np.maximum.at(best, row, np.where(height > 1, 1 / height, height))
    silence = np.maximum(0, 2 - loudness / silence_threshold)
    share = np.clip(best, 1e-9, 1 - 1e-9)
    return np.where(best > silence, 10 * np.log10(share / (1 - share)), np.nan)

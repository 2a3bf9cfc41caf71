"""Overlapping windows of an audio signal, and the peaks of curves computed from them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cberl.types import Float32, Float64, Int64

BLOCK_FRAMES = 64  # windows copied at a time: bounds memory, whatever the length of the audio, and fits into the cache


def frame_centres(n: int, sample_rate: int, window_s: float, step_s: float) -> Float64:
    """Centres, in samples, of the windows that fit into `n` samples; the windows together are centred. May be empty."""
    room_s = n / sample_rate - window_s
    if room_s < 0:
        return np.empty(0)
    count = int(room_s / step_s) + 1
    steps = np.arange(count, dtype=np.float64) - (count - 1) / 2
    return n / 2 + steps * np.float64(step_s * sample_rate)


def blocks(pcm: Float32, centres: Float64, length: int) -> Iterator[Float32]:
    """The windows around `centres`, in order, as blocks float32[frames <= BLOCK_FRAMES, length]; each is a copy."""
    starts = np.clip(np.rint(centres - length / 2).astype(np.int64), 0, len(pcm) - length)
    windows = np.lib.stride_tricks.sliding_window_view(pcm, length)
    for first in range(0, len(starts), BLOCK_FRAMES):
        yield windows[starts[first : first + BLOCK_FRAMES]]


def power_spectrum(frames: Float32, n: int) -> Float32:
    """Of each row, padded with zeros to `n` samples: float32[frames, n // 2 + 1]."""
    spectrum = real_spectrum(frames, n)
    power: Float32 = spectrum.real**2 + spectrum.imag**2
    return power


def real_spectrum(frames: Float32, n: int) -> NDArray[np.complex64]:
    """`np.fft.rfft(frames, n)`, which is three times as slow where it has to pad the rows."""
    padded = np.zeros((len(frames), n), np.float32)
    padded[:, : frames.shape[1]] = frames
    return np.fft.rfft(padded).astype(np.complex64, copy=False)


def real_signal(spectrum: NDArray[np.complex64] | Float32, n: int) -> Float32:
    """`np.fft.irfft(spectrum, n)`, with the same remark."""
    padded = np.zeros((len(spectrum), n // 2 + 1), np.complex64)
    padded[:, : spectrum.shape[1]] = spectrum
    return np.fft.irfft(padded, n).astype(np.float32, copy=False)


def find_peaks(curves: Float32 | Float64) -> tuple[Int64, Float64, Float64]:
    """Every local maximum of each row of `curves` [rows, n], refined by a parabola through its neighbours.

    Returns (row, position in samples, height), each [peaks], ordered by row and then by position.
    """
    middle = curves[:, 1:-1]
    # `flatnonzero` takes a third of the time of `nonzero` in two dimensions.
    row, column = np.divmod(
        np.flatnonzero((middle > curves[:, :-2]) & (middle >= curves[:, 2:])), max(1, middle.shape[1])
    )
    before, at, after = (curves[row, column + n].astype(np.float64) for n in range(3))
    slope = (after - before) / 2
    bend = 2 * at - before - after  # > 0 at a strict maximum
    return row, column + 1 + slope / bend, at + slope**2 / (2 * bend)


def fast_length(n: int) -> int:
    """The next length, from `n` up, whose Fourier transform is fast: a power of two times 8/8, 9/8, ... 15/8."""
    step = 1 << max(n.bit_length() - 4, 0)
    return -(-n // step) * step

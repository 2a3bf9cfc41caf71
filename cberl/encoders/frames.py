"""Overlapping windows of an audio signal, and the peaks of curves computed from them."""

from collections.abc import Iterator

import numpy as np

from cberl.types import Float32, Float64, Int64

BLOCK_FRAMES = 256  # windows copied at a time: bounds memory, whatever the length of the audio


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


def find_peaks(curves: Float32 | Float64) -> tuple[Int64, Float64, Float64]:
    """Every local maximum of each row of `curves` [rows, n], refined by a parabola through its neighbours.

    Returns (row, position in samples, height), each [peaks], ordered by row and then by position.
    """
    left, middle, right = curves[:, :-2], curves[:, 1:-1], curves[:, 2:]
    row, column = np.nonzero((middle > left) & (middle >= right))
    before, at, after = (side[row, column].astype(np.float64) for side in (left, middle, right))
    slope = (after - before) / 2
    bend = 2 * at - before - after  # > 0 at a strict maximum
    return row, column + 1 + slope / bend, at + slope**2 / (2 * bend)


def fast_length(n: int) -> int:
    """The next length, from `n` up, whose Fourier transform is fast: a power of two times 8/8, 9/8, ... 15/8."""
    step = 1 << max(n.bit_length() - 4, 0)
    return -(-n // step) * step

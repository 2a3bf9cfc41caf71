"""Pictures in grey, at another size, and a square cut out of them. Results are OpenCV's, to one level of 255."""

import numpy as np
from numpy.typing import NDArray

from cberl.types import Float32

Picture = NDArray[np.uint8]

GREY: Float32 = np.array([9798, 19235, 3735], np.float32) / np.float32(2**15)  # ITU-R BT.601
BLUR = 0.4  # standard deviation, in pixels after scaling down


def grey(rgb: Picture) -> Picture:
    """uint8[h, w, 3] -> uint8[h, w]."""
    return _rounded(rgb.astype(np.float32) @ GREY)


def scaled_down(picture: Picture, longest: int) -> tuple[Picture, float]:
    """uint8[h, w, 3] with at most `longest` pixels a side, never enlarged, and the scale."""
    scale = min(1.0, longest / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    height, width = (max(1, round(size * scale)) for size in picture.shape[:2])
    rows = _areas(picture.astype(np.float32), height)
    return _rounded(_areas(rows.swapaxes(0, 1), width).swapaxes(0, 1)), scale


def square(picture: Picture, left: float, top: float, side: float, size: int) -> Picture:
    """uint8[size, size] of a square in uint8[h, w]; beyond the picture's edge its last pixel is repeated.

    Smoothed first where it is scaled down, as it would alias otherwise.
    """
    height, width = picture.shape
    down, across = _samples(height, top, side / size, size), _samples(width, left, side / size, size)
    return _rounded(down @ picture.astype(np.float32) @ across.T)


def _rounded(values: Float32) -> Picture:
    rounded: Picture = np.floor(values + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return rounded


def _areas(rows: Float32, count: int) -> Float32:
    """The means of equal parts along the first axis, as many as `count`."""
    size = len(rows)
    edges = np.arange(count + 1) * (size / count)
    first = np.floor(edges[:-1] + 1e-6).astype(int)
    total = np.zeros((count, *rows.shape[1:]), np.float32)
    last = np.ceil(edges[1:] - 1e-6).astype(int)
    for tap in range((last - first).max()):
        row = first + tap
        covered = np.minimum(edges[1:], row + 1) - np.maximum(edges[:-1], row)  # of each source row
        share = (covered.clip(0, 1) * (count / size)).astype(np.float32)
        total += rows[row.clip(0, size - 1)] * share.reshape(-1, *[1] * (rows.ndim - 1))
    return total


def _samples(length: int, start: float, step: float, count: int) -> Float32:
    """(count, length): samples a row at `count` places, `step` apart, by linear interpolation after smoothing."""
    at = start + step * (np.arange(count) + 0.5) - 0.5
    before = np.floor(at)
    radius = round(6 * BLUR * step + 1) // 2 if step > 1 else 0
    offset = np.arange(-radius, radius + 1)
    kernel = np.exp(-np.square(offset / (BLUR * step)) / 2)
    kernel /= kernel.sum()
    matrix = np.zeros((count, length))
    for shift, share in ((0, before + 1 - at), (1, at - before)):
        pixel = (before + shift).clip(0, length - 1).astype(int)[:, None] + offset  # (count, 2 * radius + 1)
        np.add.at(matrix, (np.arange(count)[:, None], _mirrored(pixel, length)), share[:, None] * kernel)
    return matrix.astype(np.float32)


def _mirrored(at: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices beyond the ends, reflected at the first and last pixel."""
    period = max(2 * (length - 1), 1)
    inside = np.abs(at) % period
    return np.minimum(inside, period - inside) if length > 1 else np.zeros_like(at)

"""Viola & Jones's face detector (2001) in numpy: finds what `cv2.CascadeClassifier.detectMultiScale3` finds.

A window of 24x24 pixels moves over the picture at every scale. Each stage of the cascade adds up simple features, which
compare sums of rectangles, and rejects the windows whose sum is too low; few windows reach the later stages. All sums
are differences of an integral image. The integral images of all scales are below each other in one array, so that the
corners of a feature are at the same distance from every window's first pixel, and a stage is one product of matrices.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from cberl.types import Float32

WINDOW = 24  # pixels
GROWTH = 1.1  # from scale to scale
NEIGHBOURS = 4  # a face is where more windows than this overlap
NEAR = 0.2  # difference of overlapping windows, in sides
DENSE_BELOW = 2.0  # scales below are searched at every second pixel
BLOCK = 1024  # windows at a time, for the processor's cache
GREY = 128  # is subtracted from each pixel, so that sums stay exact in float32; no feature depends on it

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Square:
    """A face in pixels; `sum` is that of the last stage, of its best window."""

    x: int
    y: int
    side: int
    sum: float


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    rows: NDArray[np.int64]  # of the corners of its features, from the window's first pixel
    columns: NDArray[np.int64]
    weights: Float32  # (corners, features)
    limits: Float32  # (features,), of a feature's value
    above: float  # the sum where every feature is at its limit or above
    below: Float32  # (features,), what a feature below its limit adds to that
    least: float  # sum with which a window passes


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """`first`: index into the integral images, `norm`: 1 / (area * contrast), `scale`: index. All (N,)."""

    first: NDArray[np.int64]
    norm: Float32
    scale: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> "_Windows":
        return _Windows(self.first[chosen], self.norm[chosen], self.scale[chosen])


class Cascade:
    """From the XML file of OpenCV's traincascade, with stumps and upright features. Thread-safe."""

    def __init__(self, file: Path) -> None:
        root = ElementTree.parse(file).getroot()[0]
        features = [[_numbers(it) for it in one.iterfind("rects/_")] for one in root.iterfind("features/_")]
        self._stages = [_stage(one, features) for one in root.iterfind("stages/_")]

    def find(self, grey: Grey) -> list[Square]:
        """Every face in uint8[h, w]."""
        sizes = _sizes(*grey.shape)
        stride = grey.shape[1] + 1
        sums = np.zeros((sum(height + 1 for height, _, _ in sizes), stride), np.float32)
        first_rows = np.cumsum([0, *(height + 1 for height, _, _ in sizes)])
        found = []
        for number, (height, width, scale) in enumerate(sizes):
            picture = _resized(grey, height, width).astype(np.float32) - GREY
            rows = sums[first_rows[number] : first_rows[number + 1], : width + 1]
            y, x, norm = self._first_stage(picture, rows, 1 if scale >= DENSE_BELOW else 2)
            first = (y + first_rows[number]) * stride + x
            found.append(_Windows(first, norm, np.full(len(first), number)))
        if not found:
            return []
        windows = _Windows(*(np.concatenate([getattr(it, name) for it in found]) for name in _Windows.__slots__))
        windows, total = self._later_stages(sums.ravel(), stride, windows)
        scales = np.array([scale for _, _, scale in sizes])[windows.scale]
        x = np.rint(windows.first % stride * scales).astype(int)
        y = np.rint((windows.first // stride - first_rows[windows.scale]) * scales).astype(int)
        return _grouped(np.stack([x, y, np.rint(WINDOW * scales).astype(int)], axis=1), total)

    def _first_stage(
        self, picture: Float32, sums: Float32, step: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Float32]:
        """Writes the integral image into `sums`. Rows, columns and `norm` of the windows that pass."""
        np.cumsum(np.cumsum(picture, axis=0), axis=1, out=sums[1:, 1:])
        squares = np.zeros(sums.shape)
        np.cumsum(np.cumsum(np.square(picture), axis=0, dtype=np.float64), axis=1, out=squares[1:, 1:])
        stop_y, stop_x = (max(size - WINDOW, 0) for size in sums.shape)

        def at(image: NDArray[np.floating], y: int, x: int) -> NDArray[np.floating]:
            return image[y : y + stop_y : step, x : x + stop_x : step]

        def inner(image: NDArray[np.floating]) -> NDArray[np.float64]:
            edges = (1, WINDOW - 1)
            (a, b), (c, d) = ([at(image, y, x).astype(np.float64) for x in edges] for y in edges)
            return a - b - c + d

        area = (WINDOW - 2) ** 2
        contrast = np.sqrt(np.maximum(area * inner(squares) - np.square(inner(sums)), 0))
        plain = contrast <= 10 * area  # OpenCV does not look at such windows
        norm = (1 / np.where(plain, 1, contrast)).astype(np.float32)
        stage = self._stages[0]
        corners = [at(sums, y, x) for y, x in zip(stage.rows, stage.columns, strict=True)]
        total = np.full(norm.shape, stage.above, np.float32)
        value = np.empty_like(norm)
        for weights, limit, below in zip(stage.weights.T, stage.limits, stage.below, strict=True):
            value.fill(0)
            for corner in np.flatnonzero(weights):
                value += corners[corner] if weights[corner] == 1 else corners[corner] * weights[corner]
            value *= norm
            total += (value < limit) * below
        y, x = np.nonzero(~plain & _visited(~plain & (total < stage.least)) & (total >= stage.least))
        return y * step, x * step, norm[y, x]

    def _later_stages(self, sums: Float32, stride: int, windows: _Windows) -> tuple[_Windows, Float32]:
        """The windows that pass all stages, and their sums of the last one."""
        total = np.empty(0, np.float32)
        for stage in self._stages[1:]:
            corners = stage.rows * stride + stage.columns
            total = np.empty(len(windows.first), np.float32)
            for begin in range(0, len(total), BLOCK):
                block = slice(begin, begin + BLOCK)
                values = sums.take(windows.first[block, None] + corners) @ stage.weights
                values *= windows.norm[block, None]
                total[block] = (values < stage.limits).astype(np.float32) @ stage.below + stage.above
            passed = total >= stage.least
            windows, total = windows.where(passed), total[passed]
        return windows, total


def _numbers(element: ElementTree.Element) -> list[float]:
    return [float(word) for word in (element.text or "").split()]


def _stage(element: ElementTree.Element, features: list[list[list[float]]]) -> _Stage:
    stumps = list(element.iterfind("weakClassifiers/_"))
    nodes = np.array([_numbers(it) for stump in stumps for it in stump.iterfind("internalNodes")])
    leaves = np.array([_numbers(it) for stump in stumps for it in stump.iterfind("leafValues")])  # below, above
    corners: dict[tuple[int, int], int] = {}
    entries = []
    for column, feature in enumerate(nodes[:, 2].astype(int)):
        for x, y, width, height, weight in features[feature]:
            for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
                corner = (int(y + down * height), int(x + right * width))
                sign = 1 if right == down else -1
                entries.append((corners.setdefault(corner, len(corners)), column, sign * weight))
    weights = np.zeros((len(corners), len(stumps)), np.float32)
    for row, column, weight in entries:
        weights[row, column] += weight
    rows, columns = np.array(list(corners)).T
    below, above = leaves.astype(np.float32).T
    least = float(element.findtext("stageThreshold", "0")) - 1e-5  # as OpenCV
    return _Stage(rows, columns, weights, nodes[:, 3].astype(np.float32), float(above.sum()), below - above, least)


def _sizes(height: int, width: int) -> list[tuple[int, int, float]]:
    """(height, width, scale) of the picture for each size of a face."""
    found, factor = [], 1.0
    while round(WINDOW * factor) <= min(height, width):
        scale = float(np.float32(factor))
        found.append((round(height / scale), round(width / scale), scale))
        factor *= GROWTH
    return found


def _resized(picture: Grey, height: int, width: int) -> Grey:
    """Linear interpolation in the fixed point of OpenCV's INTER_LINEAR_EXACT."""
    if picture.shape == (height, width):
        return picture
    (top, bottom, down), (left, right, across) = (
        _between(*sizes) for sizes in zip(picture.shape, (height, width), strict=True)
    )
    rows = picture[:, left].astype(np.uint16) * (256 - across) + picture[:, right].astype(np.uint16) * across
    both = rows[top].astype(np.uint32) * (256 - down)[:, None] + rows[bottom].astype(np.uint32) * down[:, None]
    return ((both + (1 << 15)) >> 16).astype(np.uint8)


def _between(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """For each pixel after resizing: two pixels before, and the share of the second in 256ths."""
    at = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(at).astype(int)
    share = np.rint((at - first) * 256).astype(np.uint16)
    return first.clip(0, before - 1), (first + 1).clip(0, before - 1), share


def _visited(rejected: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool (rows, columns): OpenCV skips the window after one that the first stage rejected."""
    column = np.arange(rejected.shape[1])
    not_rejected = np.maximum.accumulate(np.where(rejected, -1, column), axis=1)
    before = np.pad(not_rejected, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    visited: NDArray[np.bool_] = (column - before) % 2 == 1
    return visited


def _grouped(squares: NDArray[np.int64], total: Float32) -> list[Square]:
    """The means of overlapping windows, as OpenCV's groupRectangles: squares int (N, 3) of x, y, side."""
    large = []
    for group in _groups(squares):
        if len(group) > NEIGHBOURS:
            x, y, side = (round(float(value)) for value in squares[group].mean(axis=0))
            large.append((len(group), Square(x, y, side, float(total[group].max()))))
    return [
        square
        for count, square in large
        if not any(other is not square and n > count and _inside(square, other) for n, other in large)
    ]


def _groups(squares: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices of squares that are linked by similar ones."""
    x, y, side = squares.T
    near = NEAR * np.minimum(side[:, None], side)
    edges = (x, y, x + side, y + side)
    similar = np.logical_and.reduce([np.abs(edge[:, None] - edge) <= near for edge in edges])
    label = np.arange(len(squares))
    while True:
        lowest = np.where(similar, label, len(label)).min(axis=1, initial=len(label))
        if (lowest == label).all():
            return [np.flatnonzero(label == one) for one in np.unique(label)]
        label = lowest


def _inside(small: Square, large: Square) -> bool:
    slack = int(large.side * NEAR)
    return all(
        low >= other - slack and low + small.side <= other + large.side + slack
        for low, other in ((small.x, large.x), (small.y, large.y))
    )

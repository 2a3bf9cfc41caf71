"""YuNet, a small face detection network (Wu, Peng & Yu 2023), from its ONNX file, as `cv2.FaceDetectorYN` runs it.

At three resolutions the network scores each cell of a grid and predicts a box from its centre (and landmarks, which are
not used here).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.scaling import Picture
from cberl.errors import EncoderError
from cberl.onnx import open_session
from cberl.types import Float32

STRIDES = (8, 16, 32)  # pixels per cell
OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox"))
MOST_OVERLAP = 0.3  # intersection over union, of two faces
MOST_BOXES = 5000  # before overlapping ones are removed


class YuNet:
    """Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Raises `EncoderError`."""
        self._session = open_session(file)
        (given, *_), made = self._session.get_inputs(), {it.name for it in self._session.get_outputs()}
        if missing := sorted(set(OUTPUTS) - made):
            raise EncoderError(f"it has no output {', '.join(missing)}")
        self._input = given.name
        self._size = [size if isinstance(size, int) else None for size in given.shape[2:]]  # None: any

    def find(self, rgb: Picture, min_score: float) -> Float32:
        """Every face in uint8[h, w, 3]: (N, 5) of left, top, width, height, score. The best first."""
        height, width = (
            fixed or -(-size // STRIDES[-1]) * STRIDES[-1] for fixed, size in zip(self._size, rgb.shape, strict=False)
        )
        bgr = np.zeros((3, height, width), np.float32)
        bgr[:, : rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1].transpose(2, 0, 1)
        outputs = [it[0] for it in self._session.run(OUTPUTS, {self._input: bgr[None]})]
        grids = zip(outputs[0::3], outputs[1::3], outputs[2::3], STRIDES, strict=True)
        found = np.concatenate([_boxes(*grid, columns=width // grid[-1]) for grid in grids])
        found = found[found[:, 4] >= min_score]
        return _apart(found[np.argsort(-found[:, 4], kind="stable")][:MOST_BOXES])


def _boxes(likely: Float32, present: Float32, box: Float32, stride: int, columns: int) -> Float32:
    """(cells, 1), (cells, 1) and (cells, 4) -> (cells, 5)."""
    score = np.sqrt(likely[:, 0].clip(0, 1) * present[:, 0].clip(0, 1))
    row, column = np.divmod(np.arange(len(box)), columns)
    width, height = np.exp(box[:, 2]) * stride, np.exp(box[:, 3]) * stride
    left, top = (column + box[:, 0]) * stride - width / 2, (row + box[:, 1]) * stride - height / 2
    return np.stack([left, top, width, height, score], axis=1).astype(np.float32)


def _apart(boxes: Float32) -> Float32:
    """Without those that overlap a better one."""
    kept: list[int] = []
    whole = boxes[:, :4].astype(np.int64)
    for number in range(len(boxes)):
        if not any(_overlap(whole[number], whole[other]) > MOST_OVERLAP for other in kept):
            kept.append(number)
    chosen: Float32 = boxes[kept]
    return chosen


def _overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    sides = np.minimum(one[:2] + one[2:], other[:2] + other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.maximum(sides, 0).prod())
    return common / max(float(one[2:].prod() + other[2:].prod()) - common, 1.0)

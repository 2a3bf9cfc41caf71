"""Face detection in a picture: OpenCV's cascade by default, YuNet where its model file is given. Needs no OpenCV."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cberl.checkpoint_files import FACES
from cberl.encoders.cascade import Cascade
from cberl.encoders.scaling import Picture, grey, scaled_down, square
from cberl.encoders.yunet import YuNet
from cberl.errors import EncoderError

SCAN_PX = 320  # longer side of the picture that is searched; the smallest face found is a thirteenth of it
FACE_PX = 48  # side of the expression network's input
GOOD_SIDE_PX = 96.0  # a larger face has no more detail at 48 pixels
HALF_SHARP = 100.0  # variance of the Laplacian, at 48 pixels, for which sharpness is 0.5


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face, in pixels of the original picture; `score` is the detector's confidence, 0..1."""

    centre_x: float
    centre_y: float
    side: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A cropped face: `pixels` is grey uint8[48, 48]; `sharpness` and `quality` are in 0..1."""

    box: Box
    pixels: Picture
    sharpness: float
    quality: float


class FaceDetector(Protocol):
    def find(self, rgb: Picture) -> list[Box]:
        """Every face in uint8[h, w, 3]. Safe to call from several threads."""
        ...


class CascadeDetector:
    """Viola & Jones (2001), with OpenCV's frontal-face cascade.

    Its boxes match the crops of FER2013: on those pictures the median box is centred and 47 of 48 pixels wide.
    """

    def __init__(self) -> None:
        self._cascade = Cascade(FACES / "haarcascade_frontalface_default.xml")

    def find(self, rgb: Picture) -> list[Box]:
        small, scale = scaled_down(rgb, SCAN_PX)
        return [
            Box((it.x + it.side / 2) / scale, (it.y + it.side / 2) / scale, it.side / scale, min(max(it.sum / 8, 0), 1))
            for it in self._cascade.find(grey(small))
        ]


class YuNetDetector:
    """YuNet, which also finds profiles, tilted and partly hidden faces."""

    def __init__(self, model: Path, min_score: float = 0.6) -> None:
        """Raises `EncoderError`."""
        if not model.is_file():
            raise EncoderError(f"{model} is missing: --face-detector takes face_detection_yunet's .onnx file")
        try:
            self._network = YuNet(model)
        except EncoderError as error:
            raise EncoderError(f"{model} cannot be loaded as YuNet: {error}") from error
        self._min_score = min_score

    def find(self, rgb: Picture) -> list[Box]:
        small, scale = scaled_down(rgb, SCAN_PX)
        # YuNet's box is taller than wide, from forehead to chin. Its height is the side of the cascade's square (48.5
        # of 48 pixels on FER2013), and so of the crops that the expression network was trained on.
        return [
            Box((x + w / 2) / scale, (y + h / 2) / scale, max(w, h) / scale, score)
            for x, y, w, h, score in self._network.find(small, self._min_score).astype(float).tolist()
        ]


def open_detector(yunet: Path | None) -> FaceDetector:
    """YuNet from its ONNX file, or without one the bundled cascade. Raises `EncoderError`."""
    return CascadeDetector() if yunet is None else YuNetDetector(yunet)


def find_boxes(detector: FaceDetector, rgb: Picture) -> list[Box]:
    """Every face in uint8[h, w, 3]; none in a picture below 24 pixels. Raises `ValueError` for other arrays."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"a frame must be RGB, uint8[h, w, 3], not {rgb.dtype}{list(rgb.shape)}")
    return [] if min(rgb.shape[:2]) < FACE_PX // 2 else detector.find(rgb)


def prominence(box: Box, width: float, height: float) -> float:
    """The area of a face, weighted by its place in a picture of this size: 1 in the centre, 1/2 at the edge."""
    off_centre = max(abs(2 * box.centre_x / width - 1), abs(2 * box.centre_y / height - 1))
    return box.side**2 * (1 - min(off_centre, 1.0) / 2)


def cut_out(rgb: Picture, box: Box) -> Face:
    """Crops the face in `box` from uint8[h, w, 3]."""
    left, top = box.centre_x - box.side / 2, box.centre_y - box.side / 2
    x0, y0 = max(int(left), 0), max(int(top), 0)
    region = rgb[y0 : int(top + box.side) + 2, x0 : int(left + box.side) + 2]
    pixels = square(grey(region), left - x0, top - y0, box.side, FACE_PX)
    variance = _edges_variance(pixels)
    sharpness = variance / (variance + HALF_SHARP)
    quality = box.score * min(1.0, box.side / GOOD_SIDE_PX) * sharpness
    return Face(box, pixels, sharpness, quality)


def _edges_variance(pixels: Picture) -> float:
    """The variance of the Laplacian, which is small in a blurred picture."""
    padded = np.pad(pixels.astype(np.float32), 1, mode="reflect")
    middle = padded[1:-1, 1:-1]
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * middle
    return float(laplacian.var())

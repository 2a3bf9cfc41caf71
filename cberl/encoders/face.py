"""Finding the face in a picture: OpenCV's cascade by default, YuNet where its model file is given."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

SCAN_PX = 320  # the longer side of what is searched; a face of a thirteenth of it is the smallest found
FACE_PX = 48  # what the expression network sees
GOOD_SIDE_PX = 96.0  # from here up a larger face shows no more at 48 pixels
HALF_SHARP = 100.0  # variance of the Laplacian at 48 pixels at which sharpness is a half


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face, in pixels of the picture searched; `score` in 0..1 is how sure the detector is."""

    centre_x: float
    centre_y: float
    side: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face cut out: `pixels` grey uint8[48, 48]. `sharpness` and `quality` are in 0..1."""

    box: Box
    pixels: Picture
    sharpness: float
    quality: float


class FaceDetector(Protocol):
    def find(self, rgb: Picture) -> list[Box]:
        """Every face in uint8[h, w, 3]. Safe to call from several threads."""
        ...


class CascadeDetector:
    """Viola & Jones (2001), with the frontal-face cascade that comes in OpenCV's wheel.

    Its box is what FER2013's pictures show: on those, the median box is 47 of 48 pixels wide and centred.
    """

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: install opencv-python-headless 4 (version 5 has no cascades)")
        self._cascade = cv2.CascadeClassifier(str(path))
        self._lock = threading.Lock()  # a cascade keeps the picture it is working on

    def find(self, rgb: Picture) -> list[Box]:
        small, scale = _scan_size(rgb)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey, scaleFactor=1.1, minNeighbors=4, minSize=(24, 24), outputRejectLevels=True
            )
        return [
            Box((x + w / 2) / scale, (y + h / 2) / scale, w / scale, float(np.clip(weight / 8, 0.0, 1.0)))
            for (x, y, w, h), weight in zip(boxes, np.ravel(weights), strict=True)
        ]


class YuNetDetector:
    """YuNet (Wu, Peng & Yu 2023) from its ONNX file: also profiles, tilted and half-hidden faces."""

    def __init__(self, model: Path, min_score: float = 0.6) -> None:
        if not model.is_file():
            raise FileNotFoundError(f"{model} is missing: give face_detection_yunet's .onnx, or none for the cascade")
        self._network = cv2.FaceDetectorYN.create(str(model), "", (SCAN_PX, SCAN_PX), min_score)
        self._lock = threading.Lock()  # the network keeps the size of its input

    def find(self, rgb: Picture) -> list[Box]:
        small, scale = _scan_size(rgb)
        with self._lock:
            self._network.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        # Taller than wide, forehead to chin: its height is the side of the cascade's square (48.5 of 48 on FER2013).
        return [
            Box((x + w / 2) / scale, (y + h / 2) / scale, max(w, h) / scale, float(row[-1]))
            for row in (() if rows is None else rows)
            for x, y, w, h in [row[:4].astype(float)]
        ]


def find_face(detector: FaceDetector, rgb: Picture) -> Face | None:
    """The one face that matters, large and central, cut out of uint8[h, w, 3]; None where there is none."""
    box = main_box(find_boxes(detector, rgb), rgb.shape[1], rgb.shape[0])
    return None if box is None else cut_out(rgb, box)


def find_boxes(detector: FaceDetector, rgb: Picture) -> list[Box]:
    """Every face in uint8[h, w, 3]; none in a picture too small for one. Raises ValueError for what is no picture."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"a frame must be RGB, uint8[h, w, 3], not {rgb.dtype}{list(rgb.shape)}")
    return [] if min(rgb.shape[:2]) < FACE_PX // 2 else detector.find(rgb)


def main_box(boxes: Sequence[Box], width: int, height: int) -> Box | None:
    """The most prominent."""
    return max(boxes, key=lambda box: prominence(box, width, height), default=None)


def prominence(box: Box, width: float, height: float) -> float:
    """How much a face in a picture of this size matters: its area, and at the picture's edge half of that."""
    off_centre = max(abs(2 * box.centre_x / width - 1), abs(2 * box.centre_y / height - 1))
    return box.side**2 * (1 - min(off_centre, 1.0) / 2)


def cut_out(rgb: Picture, box: Box) -> Face:
    """The face in this box of uint8[h, w, 3]."""
    # One warp cuts and shrinks; beyond the picture's edge its last row goes on. Shrinking more than twice
    # needs smoothing first, or the face would alias.
    shrink = box.side / FACE_PX
    left, top = box.centre_x - box.side / 2, box.centre_y - box.side / 2
    x0, y0 = max(int(left), 0), max(int(top), 0)
    region = rgb[y0 : int(top + box.side) + 2, x0 : int(left + box.side) + 2]
    grey = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_RGB2GRAY)
    if shrink > 1:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * shrink)
    matrix = np.array([[shrink, 0, left - x0 + shrink / 2 - 0.5], [0, shrink, top - y0 + shrink / 2 - 0.5]])
    pixels = cv2.warpAffine(
        grey, matrix, (FACE_PX, FACE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)
    variance = float(cv2.Laplacian(pixels, cv2.CV_32F).var())
    sharpness = variance / (variance + HALF_SHARP)
    quality = box.score * min(1.0, box.side / GOOD_SIDE_PX) * sharpness
    return Face(box, pixels, sharpness, quality)


def _scan_size(picture: Picture) -> tuple[Picture, float]:
    """Shrinks to `SCAN_PX` on the longer side, never enlarges; and the factor."""
    scale = min(1.0, SCAN_PX / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8), scale

"""Face detection in a picture: OpenCV's cascade by default, YuNet where its model file is given."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cberl.errors import EncoderError

Picture = NDArray[np.uint8]

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
    """Viola & Jones (2001), with the frontal-face cascade in OpenCV's wheel.

    Its boxes match the crops of FER2013: on those pictures the median box is centred and 47 of 48 pixels wide.
    """

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise EncoderError(f"{path} is missing: install opencv-python-headless 4 (version 5 has no cascades)")
        self._cascade = cv2.CascadeClassifier(str(path))
        self._lock = threading.Lock()  # a cascade holds the picture that it works on

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
    """YuNet (Wu, Peng & Yu 2023) from its ONNX file. It also finds profiles, tilted and partly hidden faces."""

    def __init__(self, model: Path, min_score: float = 0.6) -> None:
        """Raises `EncoderError`."""
        if not model.is_file():
            raise EncoderError(f"{model} is missing: --face-detector takes face_detection_yunet's .onnx file")
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (SCAN_PX, SCAN_PX), min_score)
        except cv2.error as error:
            raise EncoderError(f"{model} cannot be loaded as YuNet: {error.err}") from error
        self._lock = threading.Lock()  # the network holds the size of its input

    def find(self, rgb: Picture) -> list[Box]:
        small, scale = _scan_size(rgb)
        with self._lock:
            self._network.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        # YuNet's box is taller than wide, from forehead to chin. Its height is the side of the cascade's square (48.5
        # of 48 pixels on FER2013), and so of the crops that the expression network was trained on.
        return [
            Box((x + w / 2) / scale, (y + h / 2) / scale, max(w, h) / scale, float(row[-1]))
            for row in (() if rows is None else rows)
            for x, y, w, h in [row[:4].astype(float)]
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
    # One warp crops and scales; beyond the picture's edge its last row is repeated. Smoothing comes first, or a face
    # that is scaled down would alias.
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
    """The picture scaled down to `SCAN_PX` on its longer side, never up, and the scale."""
    scale = min(1.0, SCAN_PX / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8), scale

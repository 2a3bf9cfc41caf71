"""Pictures as the engine looks at them: RGB, and no larger than it takes to see a face."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LONGER_SIDE_PX = 640  # a face in a call is large enough in them


class PictureError(ValueError):
    """These bytes are no picture."""


def to_rgb(frame: Any) -> NDArray[np.uint8]:
    """uint8[h, w, 3] of a decoded video frame: shrunk and converted in one go."""
    width, height = _shrunk(frame.width, frame.height)
    picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", width=width, height=height)
    return picture


def decode_jpeg(payload: bytes) -> NDArray[np.uint8]:
    """uint8[h, w, 3]. Raises PictureError."""
    bgr = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise PictureError("The payload is no JPEG picture that can be decoded.")
    size = _shrunk(bgr.shape[1], bgr.shape[0])
    small = bgr if size == (bgr.shape[1], bgr.shape[0]) else cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1], np.uint8)  # BGR -> RGB


def _shrunk(width: int, height: int) -> tuple[int, int]:
    shrink = min(1.0, LONGER_SIDE_PX / max(width, height))
    return max(2, round(width * shrink)), max(2, round(height * shrink))

"""Pictures that come one by one, as the engine looks at them: RGB, and no larger than it takes to see a face."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cberl.data.pictures import shrunk


class PictureError(ValueError):
    """These bytes are no picture."""


def decode_jpeg(payload: bytes) -> NDArray[np.uint8]:
    """uint8[h, w, 3]. Raises PictureError."""
    bgr = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise PictureError("The payload is no JPEG picture that can be decoded.")
    size = shrunk(bgr.shape[1], bgr.shape[0])
    small = bgr if size == (bgr.shape[1], bgr.shape[0]) else cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1], np.uint8)  # BGR -> RGB

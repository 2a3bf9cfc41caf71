"""Decodes the pictures of a video track to RGB, scaled down to a size at which a face is still recognizable."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cberl.data.pictures import shrunk


class PictureError(ValueError):
    """A payload that cannot be decoded as a picture."""


def decode_jpeg(payload: bytes) -> NDArray[np.uint8]:
    """uint8[h, w, 3]. Raises PictureError."""
    try:
        bgr = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # for example a size that OpenCV does not accept, or too little memory
        raise PictureError("The payload is not a JPEG picture that can be decoded.") from error
    if bgr is None:
        raise PictureError("The payload is not a JPEG picture that can be decoded.")
    size = shrunk(bgr.shape[1], bgr.shape[0])
    small = bgr if size == (bgr.shape[1], bgr.shape[0]) else cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1], np.uint8)  # BGR -> RGB

"""Decodes the pictures of a video track to RGB, scaled down to a size at which a face is still recognizable."""

import av
import numpy as np
from numpy.typing import NDArray

from cberl.data.pictures import upright
from engine.ingest.codecs import MAX_PIXELS

OPTIONS = {
    "max_pixels": str(MAX_PIXELS),
    "threads": "1",
}  # of the decoder, which may find another size than `jpeg_size`


class PictureError(ValueError):
    """A payload that cannot be decoded as a picture."""


def decode_jpeg(payload: bytes) -> NDArray[np.uint8]:
    """uint8[h, w, 3]. Raises PictureError."""
    try:
        decoder = av.CodecContext.create("mjpeg", "r")
        decoder.options = OPTIONS
        frame = next(iter(decoder.decode(av.Packet(payload)) or decoder.decode(None)))
        return upright(frame)
    except (av.FFmpegError, StopIteration, ValueError) as error:  # ValueError: no picture of a known format
        raise PictureError("The payload is not a JPEG picture that can be decoded.") from error

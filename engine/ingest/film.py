"""The pictures of a film, sampled: what its sound's reader asks for, chunk by chunk."""

import logging
import math
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SAMPLES_PER_S = 3.0
LONGER_SIDE_PX = 640  # larger pictures are shrunk: a face in a call is large enough in them

Picture = tuple[float, NDArray[np.uint8]]  # the film's time in seconds, RGB uint8[h, w, 3]

log = logging.getLogger(__name__)


class Film:
    """Reads a file's pictures on its own, beside whoever reads its sound, so that neither waits for the other.

    Not thread-safe: belongs to the thread that decodes. A file without pictures, or with damaged ones, shows nothing.
    """

    def __init__(self, path: str) -> None:
        self._container = av.open(path)
        moving = moving_pictures(self._container)
        self._pictures = _sampled(self._container, moving[0]) if moving else iter(())
        self._next: Picture | None = None

    def until(self, end_s: float) -> list[Picture]:
        """What was not yet given of the time before `end_s`."""
        given: list[Picture] = []
        while (picture := self._next or next(self._pictures, None)) is not None and picture[0] < end_s:
            given.append(picture)
            self._next = None
        self._next = picture
        return given

    def close(self) -> None:
        self._container.close()


def moving_pictures(container: Any) -> list[Any]:
    """Its video streams; a cover is none."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _sampled(container: Any, stream: Any) -> Iterator[Picture]:
    due_s = float("-inf")
    damaged = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if frame.time is not None and frame.time >= due_s:
                due_s = (math.floor(frame.time * SAMPLES_PER_S + 1e-3) + 1) / SAMPLES_PER_S - 1e-3
                yield frame.time, _rgb(frame)
    if damaged:
        log.warning("%s: damaged pictures left out: %d", container.name, damaged)


def _rgb(frame: Any) -> NDArray[np.uint8]:
    shrink = min(1.0, LONGER_SIDE_PX / max(frame.width, frame.height))
    size = max(2, round(frame.width * shrink)), max(2, round(frame.height * shrink))
    picture = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))  # as phones want to be shown

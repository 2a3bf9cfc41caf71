"""The pictures of media files, for offline work: a few a second, upright RGB, through PyAV."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import DataError
from cberl.data.sound import Span, open_media

SAMPLES_PER_S = 3.0
LONGER_SIDE_PX = 640  # larger pictures are shrunk: a face in a call is large enough in them
MOST_A_SPAN = 48  # more than is read of a turn; above it every second one goes

Picture = tuple[float, NDArray[np.uint8]]  # the film's time in seconds, RGB uint8[h, w, 3]

log = logging.getLogger(__name__)


def read_pictures(
    path: Path, spans: Sequence[Span], channel: int | None = None
) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    """(index into `spans`, pictures uint8[h, w, 3] of that time) as each span is over; decodes once.

    `channel` is of the sound and means nothing here. Raises `DataError`, also where there is nothing to see.
    """
    try:
        with open_media(path) as container:
            moving = moving_pictures(container)
            if not moving:
                raise DataError(f"{path} has no pictures: there is nothing to see")
            yield from _cut(sampled(container, moving[0]), spans)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as media: {error.strerror or error}") from error


def moving_pictures(container: Any) -> list[Any]:
    """Its video streams; a cover is none."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def sampled(container: Any, stream: Any) -> Iterator[Picture]:
    """`SAMPLES_PER_S` of the pictures of an open file; damaged ones are left out."""
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
                yield frame.time, _upright(frame)
    if damaged:
        log.warning("%s: damaged pictures left out: %d", container.name, damaged)


def to_rgb(frame: Any) -> NDArray[np.uint8]:
    """uint8[h, w, 3] of a decoded video frame: shrunk and converted in one go."""
    width, height = shrunk(frame.width, frame.height)
    picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", width=width, height=height)
    return picture


def shrunk(width: int, height: int) -> tuple[int, int]:
    """How large such a picture is looked at, in pixels."""
    shrink = min(1.0, LONGER_SIDE_PX / max(width, height))
    return max(2, round(width * shrink)), max(2, round(height * shrink))


def _upright(frame: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(to_rgb(frame), round(frame.rotation / 90)))  # as phones want to be shown


def _cut(pictures: Iterator[Picture], spans: Sequence[Span]) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    open_spans: dict[int, list[NDArray[np.uint8]]] = {i: [] for i in range(len(spans))}
    for at_s, picture in pictures:
        for i, kept in list(open_spans.items()):
            start_s, end_s = spans[i]
            if end_s is not None and at_s > end_s:
                yield i, open_spans.pop(i)
            elif at_s >= start_s:
                kept.append(picture)
                if len(kept) > MOST_A_SPAN:
                    kept[:] = kept[::2]
        if not open_spans:
            return
    yield from open_spans.items()

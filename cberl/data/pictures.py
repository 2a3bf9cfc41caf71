"""Pictures from media files, read with PyAV: a few per second, upright RGB. Training and the live engine use this."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import DataError
from cberl.data.media import open_media, start_s
from cberl.data.sound import Span

SAMPLES_PER_S = 3.0
MAX_PICTURES = 48  # kept of a turn
LONGER_SIDE_PX = 640  # larger pictures are scaled down: a face in a call is large enough at this size

T = TypeVar("T")
Picture = tuple[float, NDArray[np.uint8]]  # media time in s, RGB uint8[h, w, 3]

log = logging.getLogger(__name__)


def read_pictures(
    path: Path, spans: Sequence[Span], channel: int | None = None
) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    """(index into `spans`, pictures uint8[h, w, 3] of that span) as each span is complete; decodes the file once.

    At most `MAX_PICTURES` per span. `channel`, of the audio, is ignored. Raises `DataError`,
    also for a file without video.
    """
    try:
        with open_media(path) as container:
            moving = moving_pictures(container)
            if not moving:
                raise DataError(f"{path} has no video stream")
            yield from _cut(sampled(container, moving[0]), spans)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as media: {error.strerror or error}") from error


def thinned(pictures: list[T]) -> list[T]:
    """`pictures`, of which every second one is dropped while there are more than `MAX_PICTURES`."""
    while len(pictures) > MAX_PICTURES:
        pictures = pictures[::2]
    return pictures


def moving_pictures(container: Any) -> list[Any]:
    """The video streams that can be decoded, without cover pictures."""
    cover = av.stream.Disposition.attached_pic
    return [it for it in container.streams.video if it.codec_context is not None and not it.disposition & cover]


def sampled(container: Any, stream: Any) -> Iterator[Picture]:
    """`SAMPLES_PER_S` of the pictures of an open file, in its media time; damaged ones are skipped."""
    due_s, origin_s = float("-inf"), start_s(container)
    damaged = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if frame.time is not None and (at_s := frame.time - origin_s) >= due_s:
                due_s = (math.floor(at_s * SAMPLES_PER_S + 1e-3) + 1) / SAMPLES_PER_S - 1e-3
                yield at_s, upright(frame)
    if damaged:
        log.warning("%s: damaged pictures skipped: %d", container.name, damaged)


def to_rgb(frame: Any) -> NDArray[np.uint8]:
    """RGB uint8[h, w, 3] of a decoded video frame, scaled down to `LONGER_SIDE_PX` in the same step."""
    width, height = shrunk(frame.width, frame.height)
    picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", width=width, height=height)
    return picture


def shrunk(width: int, height: int) -> tuple[int, int]:
    """The size in pixels after scaling down to `LONGER_SIDE_PX`."""
    shrink = min(1.0, LONGER_SIDE_PX / max(width, height))
    return max(2, round(width * shrink)), max(2, round(height * shrink))


def upright(frame: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(to_rgb(frame), round(frame.rotation / 90)))  # as a phone's metadata asks for


def _cut(pictures: Iterator[Picture], spans: Sequence[Span]) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    open_spans: dict[int, list[NDArray[np.uint8]]] = {i: [] for i in range(len(spans))}
    for at_s, picture in pictures:
        for i, kept in list(open_spans.items()):
            start_s, end_s = spans[i]
            if end_s is not None and at_s > end_s:
                yield i, open_spans.pop(i)
            elif at_s >= start_s:
                kept.append(picture)
                open_spans[i] = thinned(kept)
        if not open_spans:
            return
    yield from open_spans.items()

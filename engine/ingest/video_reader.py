"""The video frames of a file, sampled, for the reader of its audio."""

import logging

import av

from cberl.data.media import open_media
from cberl.data.pictures import Picture, moving_pictures, sampled

log = logging.getLogger(__name__)


class VideoReader:
    """Reads a file's video from a second open file, so that neither audio nor video waits for the other.

    Not thread-safe: for the thread that decodes. A file without video has no frames; where its video is damaged, the
    frames before the damage are all there are. Raises MediaError where it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._container = open_media(path)
        moving = moving_pictures(self._container)
        self._pictures = sampled(self._container, moving[0]) if moving else iter(())
        self._next: Picture | None = None

    def until(self, end_s: float) -> list[Picture]:
        """The frames before `end_s` that were not yet returned."""
        found: list[Picture] = []
        while (picture := self._next or self._read()) is not None and picture[0] < end_s:
            found.append(picture)
            self._next = None
        self._next = picture
        return found

    def close(self) -> None:
        self._container.close()

    def _read(self) -> Picture | None:
        try:
            return next(self._pictures, None)
        except av.FFmpegError as error:  # the generator has ended with it
            log.warning("%s: no more video frames: %s", self._path, error.strerror)
            return None

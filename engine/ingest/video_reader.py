"""The pictures of a film, sampled: what its sound's reader asks for, chunk by chunk."""

import av

from cberl.data.pictures import Picture, moving_pictures, sampled


class VideoReader:
    """Reads a file's pictures on its own, beside whoever reads its sound, so that neither waits for the other.

    Not thread-safe: belongs to the thread that decodes. A file without pictures, or with damaged ones, shows nothing.
    """

    def __init__(self, path: str) -> None:
        self._container = av.open(path)
        moving = moving_pictures(self._container)
        self._pictures = sampled(self._container, moving[0]) if moving else iter(())
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

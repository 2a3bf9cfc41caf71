"""The latest video frames of one track. Pure and bounded."""

from collections.abc import Iterable

from engine.media import VideoFrame

MAX_FRAMES = 48  # more than is read of a turn; above it every second one goes


class FrameBuffer:
    """Keeps frames until no turn can contain them any more. Above the bound, every second frame is discarded."""

    def __init__(self) -> None:
        self._frames: list[VideoFrame] = []

    def push(self, frames: Iterable[VideoFrame]) -> None:
        self._frames.extend(frames)
        while len(self._frames) > MAX_FRAMES:
            self._frames = self._frames[::2]

    def between(self, start_s: float, end_s: float) -> tuple[VideoFrame, ...]:
        """The frames of this time, both ends included."""
        return tuple(frame for frame in self._frames if start_s <= frame.at_s <= end_s)

    def forget_before(self, start_s: float) -> None:
        """No later turn starts before this time."""
        self._frames = [frame for frame in self._frames if frame.at_s >= start_s]

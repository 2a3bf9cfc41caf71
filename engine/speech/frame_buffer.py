"""What a track's camera showed lately: pure, and never more than `MAX_FRAMES`."""

from collections.abc import Iterable

from engine.media import VideoFrame

MAX_FRAMES = 48  # more than is read of a turn; above it every second one goes


class FrameBuffer:
    """Keeps frames until they belong to a turn, or to none."""

    def __init__(self) -> None:
        self._frames: list[VideoFrame] = []

    def push(self, frames: Iterable[VideoFrame]) -> None:
        self._frames.extend(frames)
        while len(self._frames) > MAX_FRAMES:
            self._frames = self._frames[::2]

    def between(self, start_s: float, end_s: float) -> tuple[VideoFrame, ...]:
        """What is kept of this time, both ends included."""
        return tuple(frame for frame in self._frames if start_s <= frame.at_s <= end_s)

    def forget_before(self, start_s: float) -> None:
        """No turn will begin earlier."""
        self._frames = [frame for frame in self._frames if frame.at_s >= start_s]

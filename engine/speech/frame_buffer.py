"""The latest video frames of one track. Pure and bounded."""

from collections.abc import Collection

from cberl.data.pictures import thinned
from engine.media import VideoFrame


class FrameBuffer:
    """Keeps frames until no turn can contain them any more. Above `MAX_PICTURES`, every second one is discarded."""

    def __init__(self) -> None:
        self._frames: list[VideoFrame] = []

    def push(self, frames: Collection[VideoFrame]) -> None:
        if frames:
            self._frames = thinned([*self._frames, *frames])

    def between(self, start_s: float, end_s: float) -> tuple[VideoFrame, ...]:
        """The frames of this time, both ends included."""
        return tuple(frame for frame in self._frames if start_s <= frame.at_s <= end_s)

    def forget_before(self, start_s: float) -> None:
        """No later turn starts before this time."""
        self._frames = [frame for frame in self._frames if frame.at_s >= start_s]

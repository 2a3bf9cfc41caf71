"""What uploads may take of the machine while live media is analysed. Pure."""

from collections.abc import Callable

from engine.loop_time import loop_time_s
from engine.runtime.clocks import Clock

LIVE_S = 10.0  # so long after a request of live media, more of them are expected


class UploadShare:
    """How many calls of models work for uploads at once, over all workers that share this.

    At most `most` while live media is expected: each call keeps a core busy, so that others are left for live media.
    """

    def __init__(self, most: int | None = None, now: Clock = loop_time_s) -> None:
        self._most = most
        self._now = now
        self._running = 0
        self._live_at = float("-inf")
        self._freed: list[Callable[[], None]] = []

    def when_freed(self, call: Callable[[], None]) -> None:
        """Call this from now on whenever a call for an upload has ended."""
        self._freed.append(call)

    def live_asked(self) -> None:
        """A request of live media has come."""
        self._live_at = self._now()

    @property
    def expects_live(self) -> bool:
        return self._now() - self._live_at < LIVE_S

    @property
    def free(self) -> bool:
        """Whether another call may begin."""
        return self._most is None or self._running < self._most or not self.expects_live

    def begin(self) -> None:
        self._running += 1

    def end(self) -> None:
        self._running -= 1
        for call in self._freed:
            call()

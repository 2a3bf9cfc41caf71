"""Tells an upload from a live sender by its pace alone."""

import time

from engine.runtime.clocks import Clock

DRAIN = 1.01  # live senders' clocks run fast by far less than 1 %


class RealtimeDetector:
    """Does a track's audio come faster than it can be spoken? A leaky bucket: audio fills it, time drains it.

    More than `slack_s` in it: the sender is ahead of real time, so it has its audio in store and can wait.
    A live sender that was cut off may catch up on as much as `credit_s` and still counts as live.
    """

    def __init__(self, slack_s: float = 2.0, credit_s: float = 30.0, now: Clock = time.monotonic) -> None:
        self._slack_s = slack_s
        self._credit_s = credit_s
        self._now = now
        self._levels: dict[str, tuple[float, float]] = {}  # seconds in the bucket, when that was

    def ahead(self, track_id: str, duration_s: float) -> bool:
        """Count so many seconds of audio that arrived just now."""
        now = self._now()
        level_s, then = self._levels.get(track_id, (0.0, now))
        level_s = max(-self._credit_s, level_s - DRAIN * (now - then)) + duration_s
        self._levels[track_id] = (level_s, now)
        return level_s > self._slack_s

    def made_to_wait(self) -> None:
        """The time since the last chunk was ours: who had to wait does not become a live sender by it."""
        now = self._now()
        self._levels = {track_id: (level_s, now) for track_id, (level_s, _) in self._levels.items()}

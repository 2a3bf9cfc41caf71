"""Distinguishes an upload from a live sender by the rate at which its audio arrives."""

from engine.loop_time import loop_time_s
from engine.runtime.clocks import Clock

DRAIN = 1.01  # the clocks of live senders are fast by much less than 1 %


class RealtimeDetector:
    """Whether a track's audio arrives faster than real time: a leaky bucket that audio fills and time drains.

    With more than `slack_s` in it, the sender is ahead of real time, so its audio is stored and it can wait. A live
    sender that was disconnected may catch up by as much as `credit_s` and still counts as live.
    """

    def __init__(self, slack_s: float = 2.0, credit_s: float = 30.0, now: Clock = loop_time_s) -> None:
        self._slack_s = slack_s
        self._credit_s = credit_s
        self._now = now
        self._levels: dict[str, tuple[float, float]] = {}  # seconds in the bucket, when that was

    def ahead(self, track_id: str, duration_s: float) -> bool:
        """Count `duration_s` of audio that has just arrived."""
        now = self._now()
        level_s, then = self._levels.get(track_id, (0.0, now))
        level_s = max(-self._credit_s, level_s - DRAIN * (now - then)) + duration_s
        self._levels[track_id] = (level_s, now)
        return level_s > self._slack_s

    def made_to_wait(self) -> None:
        """The time since the last chunk does not count: the sender was waiting for us."""
        now = self._now()
        self._levels = {track_id: (level_s, now) for track_id, (level_s, _) in self._levels.items()}

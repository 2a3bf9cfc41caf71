"""Media time of live tracks, and sampling of their video. No sockets, no clock of its own."""

MAX_SKEW_S = 2.0  # between two packets: more means that the sender's clock has jumped or stopped
PAUSE_S = 1.0  # between two packets, after which timestamps must have advanced too


class ArrivalClock:
    """Media seconds since a track's first packet: by the sender's timestamps, as long as they are plausible.

    The network delays packets unevenly, so timestamps are used rather than arrival times. Where the two disagree (a
    timestamp that went back, wrapped around, jumped or stopped), the local clock tells how much time has passed, and
    timestamps count on from there.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0  # from timestamp to media time
        self._last: tuple[float, float] | None = None  # timestamp, arrival

    def place(self, stamp_s: float, now_s: float) -> float:
        """Media time of a packet with timestamp `stamp_s` that arrived at `now_s` on any monotonic clock."""
        if self._last is None:
            self._offset_s = -stamp_s
        else:
            step_s, passed_s = stamp_s - self._last[0], now_s - self._last[1]
            stopped = passed_s > PAUSE_S and step_s < passed_s / 2
            if stopped or abs(step_s - passed_s) > MAX_SKEW_S:
                self._offset_s += passed_s - step_s
        self._last = stamp_s, now_s
        return stamp_s + self._offset_s


class FrameSampler:
    """Selects video frames of a track: at most `fps` per second, evenly spaced."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1 / fps
        self._due_s: float | None = None

    def wants(self, at_s: float) -> bool:
        late_s = 0.0 if self._due_s is None else at_s - self._due_s
        if -self._period_s <= late_s < 0:
            return False
        self._due_s = at_s + self._period_s - (late_s if 0 < late_s < self._period_s else 0.0)
        return True

"""The media time of live tracks, and how often they are looked at. No sockets, no clock of its own."""

MOST_SKEW_S = 2.0  # between two packets: more is a clock that has jumped, or stood still
PAUSE_S = 1.0  # after which a stamp must account for the pause


class ArrivalClock:
    """Media seconds since a track's first packet: the sender's own stamps, as long as they make sense.

    Packets come early and late, so their stamps count. Where stamps and arrival no longer go together (a clock that
    went back, wrapped, jumped or stood still), our own clock says how much time has passed; stamps count from there.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0  # from stamp to media time
        self._last: tuple[float, float] | None = None  # stamp, arrival

    def place(self, stamp_s: float, now_s: float) -> float:
        """Media time of a packet stamped `stamp_s` that arrived at `now_s`, seconds on any steady clock."""
        if self._last is None:
            self._offset_s = -stamp_s
        else:
            step_s, passed_s = stamp_s - self._last[0], now_s - self._last[1]
            stood_still = passed_s > PAUSE_S and step_s < passed_s / 2
            if stood_still or abs(step_s - passed_s) > MOST_SKEW_S:
                self._offset_s += passed_s - step_s
        self._last = stamp_s, now_s
        return stamp_s + self._offset_s


class FrameSampler:
    """Which of a track's pictures to look at: at most `fps` a second, evenly."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1 / fps
        self._due_s: float | None = None

    def wants(self, at_s: float) -> bool:
        late_s = 0.0 if self._due_s is None else at_s - self._due_s
        if -self._period_s <= late_s < 0:
            return False
        self._due_s = at_s + self._period_s - (late_s if 0 < late_s < self._period_s else 0.0)
        return True

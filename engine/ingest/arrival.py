"""The media time of live tracks, and how often they are looked at. No sockets, no clock of its own."""

MOST_AHEAD_S = 2.0  # no packet comes this much before its time: the sender's clock has jumped
MOST_LATE_S = 30.0  # a packet this late is none that was held up
DRIFT = 0.02  # senders' clocks differ from ours by far less


class ArrivalClock:
    """Media seconds since a track's first packet: the sender's own stamps, as long as they make sense.

    Packets may come late, so their stamps count. A stamp far from when its packet can have been made (a clock that
    went back, wrapped, or jumped) starts a new count, from where our clock says that the track has got to.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0  # from stamp to media time
        self._least_delay_s: float | None = None  # of what came soonest: arrival minus stamp
        self._last_s = 0.0
        self._then_s = 0.0

    def place(self, stamp_s: float, now_s: float) -> float:
        """Media time of a packet stamped `stamp_s` that arrived at `now_s`, seconds on any steady clock."""
        delay_s = now_s - stamp_s
        if self._least_delay_s is None:
            self._least_delay_s, self._offset_s = delay_s, -stamp_s
        passed_s = now_s - self._then_s
        late_s = delay_s - self._least_delay_s
        if -MOST_AHEAD_S <= late_s <= MOST_LATE_S:
            self._least_delay_s = min(delay_s, self._least_delay_s + DRIFT * passed_s)
        else:
            self._least_delay_s, self._offset_s = delay_s, self._last_s + passed_s - stamp_s
        self._last_s, self._then_s = stamp_s + self._offset_s, now_s
        return self._last_s


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

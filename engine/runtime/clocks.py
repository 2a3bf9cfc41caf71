"""Clocks: when media arrived, how long stages took, when the next part of a file is due. Others only pass times on."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from engine.loop_time import loop_time_s

Clock = Callable[[], float]


def system_unix_s() -> float:
    """The system's wall clock, in seconds since 1970, which may be set at any time: for what another process reads."""
    return time.time()


def _elapsed_s() -> float:
    """Never set, and where the system has such a clock it counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_BEGAN_S = system_unix_s() - _elapsed_s()


def unix_s() -> float:
    """Seconds since 1970, by the system's wall clock when this process began: its ages are right when that is set."""
    return _BEGAN_S + _elapsed_s()


class MediaClock:
    """When each moment of a conversation's media arrived, for the last `keep_s` seconds of media.

    `now` is a monotonic clock in seconds. Of several tracks, the one furthest ahead counts.
    """

    RESOLUTION_S = 0.02

    def __init__(self, now: Clock = loop_time_s, keep_s: float = 60.0) -> None:
        self._now = now
        self._keep_s = keep_s
        self._arrivals: deque[tuple[float, float]] = deque()  # (media s, clock s), both increasing
        self._processing: float | None = None  # when the media that is being processed arrived

    @property
    def delivered_s(self) -> float:
        """Media time up to which anything has arrived; 0 before the first."""
        return self._arrivals[-1][0] if self._arrivals else 0.0

    def now_s(self) -> float:
        """Media time that a live source has reached by now, delivered or not; 0 before anything has arrived."""
        return self.media_at(self._now())

    def media_at(self, at: float) -> float:
        """The same for the moment `at`, near the latest arrival or after it."""
        if not self._arrivals:
            return 0.0
        media_s, wall_s = self._arrivals[-1]
        return media_s + at - wall_s

    def arrived(self, end_s: float, at: float | None = None) -> None:
        """Media up to `end_s` arrived `at` this moment (default: now). Media that is not new is ignored."""
        arrivals = self._arrivals
        if arrivals and end_s <= arrivals[-1][0]:
            return
        # However short the chunks, at most 2 points per RESOLUTION_S are kept.
        if len(arrivals) > 1 and end_s - arrivals[-2][0] < self.RESOLUTION_S:
            arrivals.pop()
        arrived = self._now() if at is None else at
        arrivals.append((end_s, max(arrived, arrivals[-1][1]) if arrivals else arrived))
        while arrivals[0][0] < end_s - self._keep_s:
            arrivals.popleft()

    def wall_of(self, media_s: float) -> float:
        """Clock time at which `media_s` arrived: interpolated, and constant beyond the ends of what is kept.

        Raises LookupError before anything has arrived.
        """
        if not self._arrivals:
            raise LookupError("no media has arrived yet")
        media, wall = zip(*self._arrivals, strict=True)
        return float(np.interp(media_s, media, wall))

    def after_speech_ms(self, end_s: float, now: float | None = None) -> float:
        """Milliseconds between the arrival of the end of speech and `now` (default: the present)."""
        return max(0.0, ((self._now() if now is None else now) - self.wall_of(end_s)) * 1e3)

    def since_s(self, media_s: float) -> float:
        """Seconds since `media_s` arrived: how far behind live its event is.

        Measured from arrival, not from the duration of the media, so that neither a source with a fast clock nor one
        that stalls counts as lag of the engine.
        """
        return max(0.0, self._now() - self.wall_of(media_s))

    def begin(self, arrived_at: float) -> None:
        """The processing of media that arrived at this time begins."""
        self._processing = arrived_at

    def rest(self) -> None:
        """All media that has arrived is processed."""
        self._processing = None

    @property
    def lag_s(self) -> float:
        """Age of the media that is being processed, in seconds. 0 while there is none."""
        return 0.0 if self._processing is None else max(0.0, self._now() - self._processing)


class Timeline:
    """One conversation's media time, for publishers whose clocks start at different times and drift.

    The clock of the first publisher is that of the conversation. A publisher who joins later starts at its present
    time. A publisher who has been more than `slack_s` behind the one furthest ahead for a whole `WINDOW_S`, which is
    drift and not delay in the network, is moved forward in its next silence. Uploads faster or slower than real time
    are not compared.
    """

    WINDOW_S = 2.0

    def __init__(self, slack_s: float = 0.25) -> None:
        self._slack_s = slack_s
        self._all = MediaClock()
        self._live = MediaClock()
        self._publishers: WeakKeyDictionary[Hashable, _PublisherClock] = WeakKeyDictionary()

    def offset_s(self, who: Hashable, end_s: float, at: float, *, live: bool, silent: bool) -> float:
        """The offset to add to the publisher's media times. Its media up to `end_s` arrived `at` this moment."""
        clock = self._publishers.get(who)
        if clock is None:
            joined_s = self._all.media_at(at) - end_s if self._all.delivered_s else 0.0
            clock = self._publishers[who] = _PublisherClock(joined_s)
        elif live and self._live.delivered_s:
            behind_s = self._live.media_at(at) - (end_s + clock.offset_s)
            clock.seen(behind_s if behind_s > self._slack_s else 0.0, at)
            if silent and at - clock.since >= self.WINDOW_S:
                clock.offset_s += clock.behind_s
                clock.seen(0.0, at)
        self._all.arrived(end_s + clock.offset_s, at)
        if live:
            self._live.arrived(end_s + clock.offset_s, at)
        return clock.offset_s


@dataclass(slots=True, eq=False)
class _PublisherClock:
    """A publisher's offset. `since` this moment its clock has been at least `behind_s` behind."""

    offset_s: float
    since: float = float("inf")
    behind_s: float = float("inf")

    def seen(self, behind_s: float, at: float) -> None:
        if behind_s == 0.0:
            self.since, self.behind_s = float("inf"), float("inf")
        else:
            self.since, self.behind_s = min(self.since, at), min(self.behind_s, behind_s)


class Stopwatch:
    """Stage timings: `with watch("encode"): ...` adds to `watch.timings_ms["encode"]`. Starts with `before`."""

    def __init__(self, before: Mapping[str, float] | None = None, now: Clock = loop_time_s) -> None:
        self._now = now
        self.timings_ms: dict[str, float] = dict(before or {})

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = self._now()
        try:
            yield
        finally:
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + (self._now() - started) * 1e3


class Pacer:
    """Releases media in real time. Waits for deadlines, so that delays do not add up."""

    def __init__(self, now: Clock = loop_time_s) -> None:
        self._now = now
        self._origin: float | None = None  # clock time of media time zero

    async def until(self, media_s: float) -> None:
        """Return when `media_s` is due. The first call is due at once."""
        if self._origin is None:
            self._origin = self._now() - media_s
        await asyncio.sleep(max(0.0, self._origin + media_s - self._now()))


class Watchdog:
    """Times out when `feed` was not called for `limit_s`."""

    def __init__(self, limit_s: float, now: Clock = loop_time_s) -> None:
        self._limit_s = limit_s
        self._now = now
        self._fed = now()

    def feed(self) -> None:
        self._fed = self._now()

    async def wait(self, over: asyncio.Event) -> bool:
        """Returns True when `over` is set, or False on timeout."""
        while (left_s := self._fed + self._limit_s - self._now()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await over.wait()
            except TimeoutError:
                continue
            return True
        return over.is_set()

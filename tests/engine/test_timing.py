import asyncio

import pytest

from engine.timing import MediaClock, Pacer, Stopwatch


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_arrival_times_are_interpolated_and_held_at_the_ends() -> None:
    hand = HandClock()
    clock = MediaClock(hand)
    with pytest.raises(LookupError):
        clock.wall_of(0.0)
    for end_s, arrives in ((1.0, 1000.0), (2.0, 1003.0), (1.5, 1004.0), (3.0, 1004.0)):
        hand.time = arrives
        clock.arrived(end_s)
    assert clock.wall_of(1.5) == 1001.5  # the late 1.5 was nothing new
    assert (clock.wall_of(0.0), clock.wall_of(9.0)) == (1000.0, 1004.0)
    hand.time = 1005.0
    assert clock.after_speech_ms(2.5) == 1500.0
    assert clock.after_speech_ms(2.5, now=1000.0) == 0.0


def test_a_source_that_runs_one_percent_fast_makes_nobody_late() -> None:
    hand = HandClock()
    clock = MediaClock(hand)
    for n in range(1, 36_001):  # an hour: at its end the source counts 36 s more than have passed
        hand.time += 0.1
        clock.begin(hand.time)
        clock.arrived(n * 0.101, hand.time)
        hand.time += 0.02  # our work
        assert clock.lag_s == pytest.approx(0.02)
        assert clock.since_s(n * 0.101) == pytest.approx(0.02)
        hand.time -= 0.02
        clock.rest()
    assert clock.lag_s == 0.0
    assert clock.after_speech_ms(36_000 * 0.101 - 0.505) == pytest.approx(500, abs=1)


def test_a_source_that_stalls_makes_nobody_late_and_who_is_late_is_seen_to_be() -> None:
    hand = HandClock()
    clock = MediaClock(hand)
    clock.begin(hand.time)
    clock.arrived(0.1, hand.time)
    clock.rest()
    hand.time += 100.0
    assert clock.lag_s == 0.0
    came = hand.time  # a burst of ten chunks, which wait in a channel while each takes a second
    for n in range(10):
        clock.begin(came)
        clock.arrived(0.2 + n * 0.1, came)
        hand.time += 1.0
        assert clock.lag_s == n + 1.0
        assert clock.since_s(0.2 + n * 0.1) == n + 1.0
    clock.rest()
    assert clock.lag_s == 0.0


def test_memory_is_bounded_whatever_the_pieces() -> None:
    clock = MediaClock(HandClock(), keep_s=10.0)
    for n in range(100_000):
        clock.arrived(n * 0.001)
    assert len(clock._arrivals) <= 2 * 10.0 / MediaClock.RESOLUTION_S + 2


def test_stopwatch_adds_up_by_stage() -> None:
    hand = HandClock()
    watch = Stopwatch({"encode": 50.0}, hand)
    for seconds in (0.25, 0.5):
        with watch("encode"):
            hand.time += seconds
    assert watch.timings_ms == {"encode": 800.0}


def test_pacer_waits_by_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = HandClock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        hand.time += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def main() -> None:
        pacer = Pacer(hand)
        await pacer.until(10.0)
        hand.time += 0.25  # work done meanwhile is not waited for again
        await pacer.until(11.0)
        hand.time += 5.0
        await pacer.until(12.0)

    asyncio.run(main())
    assert slept == [0.0, 0.75, 0.0]

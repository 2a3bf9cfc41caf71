import asyncio

import pytest

from engine.runtime.clocks import MediaClock, Pacer, Stopwatch, Timeline
from testing.clock import HandClock


def test_arrival_times_are_interpolated_and_constant_beyond_the_ends() -> None:
    hand = HandClock()
    clock = MediaClock(hand)
    with pytest.raises(LookupError):
        clock.wall_of(0.0)
    for end_s, arrives in ((1.0, 1000.0), (2.0, 1003.0), (1.5, 1004.0), (3.0, 1004.0)):
        hand.time = arrives
        clock.arrived(end_s)
    assert clock.wall_of(1.5) == 1001.5  # 1.5 arrived again and was ignored
    assert (clock.wall_of(0.0), clock.wall_of(9.0)) == (1000.0, 1004.0)
    hand.time = 1005.0
    assert clock.after_speech_ms(2.5) == 1500.0
    assert clock.after_speech_ms(2.5, now=1000.0) == 0.0


def test_a_source_with_a_clock_one_percent_fast_adds_no_lag() -> None:
    hand = HandClock()
    clock = MediaClock(hand)
    for n in range(1, 36_001):  # an hour: at its end the source counts 36 s more than have passed
        hand.time += 0.1
        clock.begin(hand.time)
        clock.arrived(n * 0.101, hand.time)
        hand.time += 0.02  # processing
        assert clock.lag_s == pytest.approx(0.02)
        assert clock.since_s(n * 0.101) == pytest.approx(0.02)
        hand.time -= 0.02
        clock.rest()
    assert clock.lag_s == 0.0
    assert clock.after_speech_ms(36_000 * 0.101 - 0.505) == pytest.approx(500, abs=1)


def test_a_source_that_stalls_adds_no_lag_and_slow_processing_does() -> None:
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


class Person:
    """Publishes chunks of 0.1 s."""

    def __init__(self, speed: float = 1.0, begins_at: float = 0.0) -> None:
        self.speed, self.begins_at = speed, begins_at
        self.held_up_s = 0.0  # in the network
        self.silent = True

    def publishes(self, timeline: Timeline, at: float) -> float:
        """When this was spoken, in the conversation's media time."""
        said_s = (at - self.begins_at - self.held_up_s) * self.speed
        return said_s + timeline.offset_s(self, said_s, at, live=True, silent=self.silent)


def test_clocks_that_drift_apart_are_aligned_in_silence_and_only_forward() -> None:
    timeline = Timeline()
    ann, bob = Person(speed=1.01), Person(begins_at=50.0)
    ann.publishes(timeline, 0.1)
    before_s, apart_s = 0.0, []
    for tenth in range(2, 36_000):
        at = tenth / 10
        ann_s = ann.publishes(timeline, at)
        assert ann_s == pytest.approx(at * 1.01)  # the publisher ahead is not moved
        if at < 50.0:
            continue
        bob.silent = at % 30 > 10  # he speaks for ten seconds at a time
        bob_s = bob.publishes(timeline, at)
        if not bob.silent:
            assert bob_s - before_s == pytest.approx(0.1)  # never moved while he speaks
        assert bob_s > before_s
        before_s = bob_s
        apart_s.append(ann_s - bob_s)
    assert max(apart_s) < 0.25 + 0.01 * (10 + 2 + 0.2)
    assert max(apart_s) > 0.25  # otherwise there was no drift to correct


def test_a_delay_in_the_network_moves_nobody_and_a_clock_that_stopped_does() -> None:
    timeline = Timeline()
    ann, bob = Person(), Person()
    places: list[float] = []
    for tenth in range(1, 400):
        at = tenth / 10
        ann.publishes(timeline, at)
        if 100 <= tenth < 150:
            continue  # his network is down, and his media arrives in a burst afterwards
        bob.held_up_s = {150: 5.0, 151: 3.0, 152: 1.0}.get(tenth, 0.0)
        if tenth == 300:
            bob.begins_at += 8.0  # as if muted
        places.append(at - bob.publishes(timeline, at))
    assert max(map(abs, places[152 - 50 : 249])) == pytest.approx(0.0)
    assert places[249] == pytest.approx(8.0)
    assert places[-1] == pytest.approx(0.0)


def test_an_upload_moves_no_live_publisher() -> None:
    timeline = Timeline()
    ann, file = Person(), Person()
    begun_s = ann.publishes(timeline, 0.1) - 0.1
    for tenth in range(2, 200):
        timeline.offset_s(file, tenth * 10.0, tenth / 10, live=False, silent=True)
        assert ann.publishes(timeline, tenth / 10) == pytest.approx(begun_s + tenth / 10)


def test_memory_is_bounded_for_any_chunk_length() -> None:
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
        hand.time += 0.25  # processing time is part of the wait
        await pacer.until(11.0)
        hand.time += 5.0
        await pacer.until(12.0)

    asyncio.run(main())
    assert slept == [0.0, 0.75, 0.0]

import numpy as np
import pytest

from engine.ingest.arrival import ArrivalClock, FrameSampler


def placed(packets):
    clock = ArrivalClock()
    return [clock.place(stamp_s, now_s) for stamp_s, now_s in packets]


def test_stamps_count_however_their_packets_are_held_up():
    jitter = np.random.default_rng(0).uniform(0, 0.4, 500)
    packets = [(40.0 + 0.02 * n, 7.0 + 0.02 * n + late) for n, late in enumerate(jitter)]
    assert placed(packets) == pytest.approx([0.02 * n for n in range(500)])


def test_a_clock_one_percent_fast_is_followed():
    assert placed([(0.02 * n, 0.0198 * n) for n in range(60_000)])[-1] == pytest.approx(0.02 * 59_999)


@pytest.mark.parametrize("leap_s", [-3.0, -40.0, 5.0, 89_478.0])
def test_a_clock_that_leaps_is_corrected_by_ours(leap_s):
    packets = [(9.0 + 0.02 * n + leap_s * (n >= 50), 3.0 + 0.02 * n) for n in range(100)]
    assert placed(packets) == pytest.approx([0.02 * n for n in range(100)])


@pytest.mark.parametrize("stands_still", [True, False])
def test_a_pause_is_a_pause_whether_the_sender_counts_it_or_not(stands_still):
    packets = [(0.02 * n + (0.0 if stands_still else 4.0) * (n >= 50), 0.02 * n + 4.0 * (n >= 50)) for n in range(100)]
    assert placed(packets) == pytest.approx([0.02 * n + 4.0 * (n >= 50) for n in range(100)])


def test_what_was_held_up_and_comes_at_once_is_in_one_piece():
    packets = [(0.02 * n, 0.02 * n if n < 50 else 6.0 + 0.0001 * n) for n in range(300)]
    steps = np.diff(placed(packets)[50:])
    assert steps == pytest.approx(np.full(249, 0.02))


@pytest.mark.parametrize("fps", [10, 15, 25, 30])
def test_pictures_are_taken_at_the_rate_asked_for(fps):
    sampler = FrameSampler(3.0)
    taken = [n / fps for n in range(60 * fps) if sampler.wants(n / fps)]
    assert len(taken) == pytest.approx(180, abs=2)
    assert max(np.diff(taken)) < 1 / 3 + 1.5 / fps


def test_pictures_go_on_after_a_pause_and_after_a_step_back():
    sampler = FrameSampler(3.0)
    assert [at_s for at_s in (0.0, 0.1, 50.0, 50.1, 50.4, 9.0, 9.1, 9.4) if sampler.wants(at_s)] == [
        0,
        50,
        50.4,
        9,
        9.4,
    ]

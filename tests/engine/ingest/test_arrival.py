import numpy as np
import pytest

from engine.ingest.arrival import ArrivalClock, FrameSampler


def placed(packets):
    clock = ArrivalClock()
    return [clock.place(stamp_s, now_s) for stamp_s, now_s in packets]


def test_timestamps_are_used_however_late_packets_arrive():
    jitter = np.random.default_rng(0).uniform(0, 0.4, 500)
    packets = [(40.0 + 0.02 * n, 7.0 + 0.02 * n + late) for n, late in enumerate(jitter)]
    assert placed(packets) == pytest.approx([0.02 * n for n in range(500)])


def test_a_clock_one_percent_fast_is_followed():
    assert placed([(0.02 * n, 0.0198 * n) for n in range(60_000)])[-1] == pytest.approx(0.02 * 59_999)


@pytest.mark.parametrize("leap_s", [-3.0, -40.0, 5.0, 89_478.0])
def test_a_timestamp_that_jumps_is_corrected_by_the_local_clock(leap_s):
    packets = [(9.0 + 0.02 * n + leap_s * (n >= 50), 3.0 + 0.02 * n) for n in range(100)]
    assert placed(packets) == pytest.approx([0.02 * n for n in range(100)])


@pytest.mark.parametrize("stands_still", [True, False])
def test_a_pause_lasts_as_long_as_it_does_on_the_local_clock(stands_still):
    packets = [(0.02 * n + (0.0 if stands_still else 4.0) * (n >= 50), 0.02 * n + 4.0 * (n >= 50)) for n in range(100)]
    assert placed(packets) == pytest.approx([0.02 * n + 4.0 * (n >= 50) for n in range(100)])


def test_delayed_packets_that_arrive_at_once_stay_contiguous():
    packets = [(0.02 * n, 0.02 * n if n < 50 else 6.0 + 0.0001 * n) for n in range(300)]
    steps = np.diff(placed(packets)[50:])
    assert steps == pytest.approx(np.full(249, 0.02))


@pytest.mark.parametrize("fps", [10, 15, 25, 30])
def test_video_frames_are_sampled_at_the_given_rate(fps):
    sampler = FrameSampler(3.0)
    taken = [n / fps for n in range(60 * fps) if sampler.wants(n / fps)]
    assert len(taken) == pytest.approx(180, abs=2)
    assert max(np.diff(taken)) < 1 / 3 + 1.5 / fps


def test_sampling_continues_after_a_pause_and_after_a_step_back():
    sampler = FrameSampler(3.0)
    assert [at_s for at_s in (0.0, 0.1, 50.0, 50.1, 50.4, 9.0, 9.1, 9.4) if sampler.wants(at_s)] == [
        0,
        50,
        50.4,
        9,
        9.4,
    ]

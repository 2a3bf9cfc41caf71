import math

import pytest

from engine.runtime.durations import BusyShare


def test_the_share_of_regular_work_is_its_share_of_the_time_and_fades_when_it_ends() -> None:
    share = BusyShare(over_s=2.0)
    assert share.at(100.0) == 0.0
    for n in range(200):
        share.add(100.0 + 0.1 * n, 100.03 + 0.1 * n)
    assert share.at(120.0) == pytest.approx(0.3, abs=0.02)
    assert share.at(122.0) == pytest.approx(share.at(120.0) * math.exp(-1))
    share.add(130.0, 150.0)
    assert share.at(150.0) == pytest.approx(1.0, abs=0.001)


def test_work_of_several_threads_at_the_same_time_counts_once() -> None:
    one, several = BusyShare(), BusyShare()
    one.add(10.0, 11.0)
    for end_s in (10.5, 11.0, 11.0):
        several.add(10.0, end_s)
    assert several.at(11.0) == pytest.approx(one.at(11.0))

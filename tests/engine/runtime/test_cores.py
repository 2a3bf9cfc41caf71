"""Threads of the models."""

import os

import pytest

from engine.runtime.cores import recogniser_threads, usable_cores


@pytest.mark.parametrize(("cores", "calls", "per_call"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (8, 2, 4), (64, 2, 4)])
def test_two_calls_of_the_recogniser_share_the_cores(cores: int, calls: int, per_call: int) -> None:
    found = recogniser_threads(cores)
    assert (found.calls, found.per_call) == (calls, per_call)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_cores_that_the_process_may_not_use_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)

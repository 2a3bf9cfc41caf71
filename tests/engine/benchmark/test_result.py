"""What counts as served, and when the figures are not those of the server."""

from dataclasses import replace

import pytest

from engine.benchmark.result import Outcome, Usage, summarize

IN_TIME = [Outcome([100.0, 200.0, 300.0]), Outcome([400.0])]
USAGE = Usage(server_cores=1.5, driver_cores=0.2, other_cores=0.1, driver_late_ms=4.0)


def test_percentiles_are_over_the_turns_of_all_conversations() -> None:
    row = summarize(IN_TIME, USAGE)
    assert (row.conversations, row.turns, row.p50_ms, row.p95_ms) == (2, 4, 250.0, 385.0)
    assert row.served(0.4)
    assert not row.served(0.38)


@pytest.mark.parametrize("worse", [{"missed": 1}, {"dropped_chunks": 1}, {"problem": "full"}])
def test_what_loses_anything_is_not_served_however_early_the_rest_is(worse: dict[str, object]) -> None:
    assert not summarize([*IN_TIME, Outcome([1.0], **worse)], USAGE).served(1.5)  # type: ignore[arg-type]


def test_without_any_event_nothing_is_served() -> None:
    row = summarize([Outcome(missed=3, problem="full"), Outcome(problem="full"), Outcome(problem="gone")], USAGE)
    assert (row.turns, row.p95_ms, row.failed, row.problem) == (0, None, 3, "full")
    assert not row.served(1e9)


def test_a_late_or_busy_driver_and_a_shared_machine_are_reported() -> None:
    row = summarize(IN_TIME, USAGE)
    assert not row.driver_limited
    assert not row.disturbed
    assert replace(row, driver_late_ms=80.0).driver_limited
    assert replace(row, driver_cores=0.95).driver_limited
    assert replace(row, other_cores=1.0).disturbed
    assert not replace(row, other_cores=None).disturbed

"""What audio and captions cost, as processes: which windows a silence saves, and the budget by stage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def bench(name: str, *arguments: str) -> Any:
    command = [sys.executable, ROOT / "bench" / name, "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_long_silences_are_saved_and_change_no_turn_of_the_demo() -> None:
    found = bench("silence.py")
    assert len(found) == 2
    for row in found:
        assert row["turns"] == row["before"] == row["near"] > 5
        assert row["given"] < 0.8  # nobody speaks on a track while the other person does


def test_the_budget_is_the_sum_of_its_stages_and_grows_with_the_conversations() -> None:
    few, many = (bench("budget.py", "--rounds", "1", "--conversations", number) for number in ("10", "100"))
    for rows in (few, many):
        *stages, total = rows
        assert total["stage"] == "all"
        assert total["cores"] == pytest.approx(sum(row["cores"] for row in stages), abs=0.02)
        assert min(row["ms"] for row in stages) > 0
    turns = [next(row["per_s"] for row in rows if row["stage"] == "text") for rows in (few, many)]
    assert turns[1] == pytest.approx(10 * turns[0], rel=0.1)

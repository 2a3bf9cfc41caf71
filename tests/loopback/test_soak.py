"""A minute of `bench/soak.py`: clients that come and leave in every way leave nothing behind."""

import json
import subprocess
import sys

import pytest

from testing.bundled_whisper import require_whisper
from testing.serving import ROOT


@pytest.mark.timeout(400)
def test_a_minute_of_all_kinds_of_clients_leaves_nothing_behind() -> None:
    """Memory is judged by the ten minutes of `make soak`: within one, its slope is noise."""
    require_whisper()
    command = [sys.executable, "bench/soak.py", "--minutes", "1", "--every", "10", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert set(found["grew"]) <= {"memory_mb"}, done.stderr
    assert found["slope_mb_per_1000"] < 50, done.stderr
    assert found["sessions"] >= 180
    assert found["refused"] < found["sessions"] / 5, done.stderr

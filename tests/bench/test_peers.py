"""`bench/peers.py`: what is measured, and what happens where a peer cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

from testing.bundled_whisper import require_whisper

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, ROOT / "bench" / "peers.py"]


def test_a_peer_that_cannot_be_installed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    require_whisper()
    nothing = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [*COMMAND, "--only", "WhisperLive", "--cache", tmp_path / "cache", "--json"],
        capture_output=True, text=True, timeout=120, env=os.environ | nothing,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == []
    assert "No matching distribution found for whisper-live" in found["skipped"]["WhisperLive"]

"""Targets of the Makefile that CI does not run, as processes, with this environment instead of .venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from testing.browser_page import BROWSER
from testing.bundled_whisper import require_whisper

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(MAKE is None, reason="needs make")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """`-o`: whatever pyproject.toml says by now, nothing is installed. `make test` may be what runs this test."""
    assert MAKE is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [MAKE, "-o", ".venv/installed", f"BIN={Path(sys.executable).parent}", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
@pytest.mark.timeout(400)
def test_screenshots_are_taken_from_the_running_demo_into_a_folder(tmp_path: Path) -> None:
    require_whisper()
    done = make("screenshots", f"FOLDER={tmp_path / 'new'}", "TURNS=4")
    assert done.returncode == 0, done.stderr
    taken = {path.name: cv2.imread(str(path)) for path in (tmp_path / "new").iterdir()}
    assert set(taken) == {path.name for path in (ROOT / "docs").glob("*.png")}
    assert taken["dashboard-phone.png"].shape == (812, 375, 3)
    assert taken["dashboard.png"].mean() > taken["dashboard-dark.png"].mean() + 100


def test_without_python_3_13_home_assistant_is_refused_with_a_sentence() -> None:
    done = make("home-assistant", "PYTHON_3_13=/nowhere/python3.13")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no Python 3.13 was found: install it, or name it: make home-assistant PYTHON_3_13=")

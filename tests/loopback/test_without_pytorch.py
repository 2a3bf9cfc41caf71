"""The live engine on a CPU runs without PyTorch; commands that need more say what to install."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from testing.command import MAIN
from testing.live_engine import FIRST, alone, assert_same, emotions, publish, stretch
from testing.missing_packages import EXTRAS, without
from testing.recordings import tone, write_wav
from testing.serving import served


@pytest.mark.timeout(300)
def test_a_conversation_has_the_same_events_without_pytorch(tmp_path: Path) -> None:
    with served(tmp_path, before=without(*EXTRAS)) as server:
        events = emotions(asyncio.run(publish(server.url, "small", stretch(*FIRST))))
        server.assert_calm()
    assert_same(events, emotions(alone(FIRST)[0]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train real --data x --out y", "torch is not installed: pip install 'cberl-engine[train]'"),
        ("evaluate --help", "torch is not installed: pip install 'cberl-engine[train]'"),
        ("serve --device cuda", "device cuda needs PyTorch: pip install 'cberl-engine[gpu]'"),
        ("run x.wav --diarize on", "telling voices apart needs torch: pip install 'cberl-engine[diarize]'"),
        ("bench --plot x.png", "matplotlib is not installed: pip install 'cberl-engine[train]'"),
    ],
)
def test_a_command_that_needs_more_says_what_to_install(words: str, says: str, tmp_path: Path) -> None:
    if "--diarize" in words and importlib.util.find_spec("resemblyzer") is None:
        pytest.skip("Resemblyzer's weights are not installed")
    write_wav(tmp_path / "x.wav", tone(200, 1)[None])
    command = [sys.executable, "-c", f"{without(*EXTRAS)}\n{MAIN}", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {says}"
    assert "Traceback" not in done.stderr


def test_the_help_of_other_commands_needs_nothing_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{without(*EXTRAS)}\n{MAIN}", "demo", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")

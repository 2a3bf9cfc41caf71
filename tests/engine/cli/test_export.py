"""`cberl export` as a process: conversations that ran several times, of a log and of an engine that is running."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testing.command import MAIN
from testing.counting import running
from testing.events import emotion

Cberl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cberl(tmp_path: Path) -> Cberl:
    """In an empty folder."""
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "COLUMNS": "100", "NO_PROXY": "127.0.0.1"}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", MAIN, "export", *args]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


async def run_twice(cberl: Cberl, *export: str, log: str = "") -> subprocess.CompletedProcess[str]:
    """What the export says while an engine runs in which "lobby" ran twice, and "room" once."""
    async with running(event_log=log, keep_text=True) as (engine, url):
        for label in ("anger", "joy"):
            engine.hub.publish(emotion(1, emotion=label, conversation="lobby"))
            engine.hub.close("lobby")
        engine.hub.publish(emotion(1, conversation="room"))
        await engine.hub.flush()
        return await asyncio.to_thread(cberl, url, *export)


def emotions(lines: str) -> list[str]:
    return [json.loads(line)["emotion"] for line in lines.splitlines()]


def test_the_latest_session_is_exported_with_a_notice_another_or_all_on_request(cberl: Cberl, tmp_path: Path) -> None:
    live = asyncio.run(run_twice(cberl, "lobby", log=str(tmp_path / "log")))
    latest = cberl("log", "lobby")
    assert (latest.returncode, emotions(latest.stdout)) == (0, ["joy"])
    assert latest.stderr == (
        "lobby ran 2 times: this is the latest; --session NUMBER is another one, --all-sessions all\n"
    )
    assert (live.returncode, live.stdout, live.stderr) == (0, latest.stdout, latest.stderr)
    first = cberl("log", "lobby", "--session", "1")
    assert (first.returncode, first.stderr, emotions(first.stdout)) == (0, "", ["anger"])
    listed = cberl("log", "lobby", "--list").stdout
    assert re.findall(r"^ lobby +(\d) +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* +(\S+) +(\d)", listed, re.MULTILINE) == [
        ("1", "0:03", "1"), ("2", "0:03", "1"),
    ]  # fmt: skip
    files = cberl("log", "--all-sessions", "-o", "all/", "--format", "vtt")
    assert (files.returncode, sorted(path.name for path in (tmp_path / "all").iterdir())) == (
        0, ["lobby session 1.vtt", "lobby session 2.vtt", "room.vtt"],
    )  # fmt: skip


def test_what_cannot_be_chosen_is_one_sentence(cberl: Cberl, tmp_path: Path) -> None:
    asyncio.run(run_twice(cberl, "--list", log=str(tmp_path / "log")))
    for asked, status, says in (
        (("lobby", "--session", "3"), 1, "lobby has no session 3, but 2: `--list lobby` shows them"),
        (("lobby", "--session", "1", "--all-sessions"), 2, "--session and --all-sessions exclude each other"),
        (("lobby", "--all-sessions", "-o", "a.srt"), 1, "a file in format srt holds one conversation"),
    ):
        done = cberl("log", *asked)
        assert (done.returncode, done.stdout, says in done.stderr) == (status, "", True), asked


def test_of_an_engine_without_a_log_there_is_what_it_keeps(cberl: Cberl) -> None:
    done = asyncio.run(run_twice(cberl, "lobby"))
    assert (done.returncode, emotions(done.stdout)) == (0, ["joy"])

"""How soon after the end of speech are the words of other streaming recognisers final, and this engine's emotions?

    python bench/peers.py [--sessions 1 2 4] [--only NAME ...] [--cache FOLDER] [--json]

WhisperLive, WhisperLiveKit and RealtimeSTT, each from PyPI in a virtual environment of its own under `--cache`, which
shares the large packages of this one (torch, faster-whisper), and each as a server with settings as it comes, the same
Whisper tiny.en (int8 or as the peer chooses), and no access to a model hub. One that cannot be installed or does not
start is skipped, with the reason. Every session streams the same half of the demo conversation, mixed to one
microphone, in real time over a WebSocket, and then silence.

A word is final when the server first reports it in a transcript that it does not take back; for this engine, when the
emotion event with the word arrives. A turn is final with its last word that is in the script. Times count from the
script's end of the turn. Also: processor time of the server for each minute and session, and the share of words wrong.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torchaudio.functional import edit_distance
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cberl.types import SAMPLE_RATE, Float32
from engine.speech.whisper_store import INSTALL_BUNDLE, bundled
from testing.live_engine import FIRST, SCRIPT, demo
from testing.peer_systems import SYSTEMS, System, Transcript

STARTS_WITHIN_S = 120.0
INSTALLS_WITHIN_S = 300.0
SILENCE_S = 8.0  # after the last turn: later words count as never final
WARM_UP_S = 6
STEP = SAMPLE_RATE // 10
STAGGER_S = 0.37  # between the starts of two sessions


class SkippedError(Exception):
    """Why a system cannot be measured."""


def python_of(system: System, cache: Path) -> str:
    """The interpreter of its environment, which is made if necessary."""
    if system.package is None:
        return sys.executable
    folder = cache / system.package
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        (inside,) = folder.glob("lib/python*/site-packages")
        (inside / "shared.pth").write_text(site.getsitepackages()[0])
        for what in (["--no-deps", system.package], system.needs):
            if what:
                _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what])
        complete.touch()
    return str(python)


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLS_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise SkippedError(f"not installed within {INSTALLS_WITHIN_S:g} s") from None
    if done.returncode:
        raise SkippedError(f"not installed: {_last_line(done.stderr)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:200]


@contextmanager
def serving(system: System, cache: Path, model: Path) -> Iterator[tuple[int, int]]:
    """Yields port and process group of the running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [it.replace("{port}", str(port)).replace("{model}", str(model)) for it in system.arguments]
    command = [python_of(system, cache), *arguments]
    root = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | ({} if system.package else {"PYTHONPATH": root})
    if system.package:
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, env=environment, start_new_session=True
            )
        try:
            _wait_for(port, process, log)
            yield port, process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SkippedError(f"ended at its start: {_last_line(log.read_text(errors='replace'))}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SkippedError(f"accepted no connection within {STARTS_WITHIN_S:g} s")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


async def listen(system: System, port: int, session: int, recording: Float32) -> tuple[list[str], list[float]]:
    """Stream the recording in real time. Returns the final words, and when each arrived after the recording's start."""
    loop = asyncio.get_running_loop()
    heard, found = list[str](), Transcript()
    arrived = list[float]()
    path = system.path.replace("{session}", str(session))
    async with connect(f"ws://127.0.0.1:{port}{path}", proxy=None, max_size=None) as client:
        if system.hello is not None:
            await client.send(system.hello)
        await asyncio.sleep(1 + STAGGER_S * session)  # until it is ready
        began = loop.time()

        async def receive() -> None:
            async for message in client:
                if isinstance(message, str):
                    system.read(json.loads(message), found)
                    now = words(" ".join(text for _, text in sorted(found.items())))
                    same = next((n for n, (a, b) in enumerate(zip(heard, now, strict=False)) if a != b), None)
                    kept = min(len(heard), len(now)) if same is None else same
                    arrived[kept:] = [loop.time() - began] * (len(now) - kept)
                    heard[:] = now

        receiving = asyncio.create_task(receive(), name="receive")
        for at in range(0, len(recording), STEP):
            await asyncio.sleep(max(0.0, began + (at + STEP) / SAMPLE_RATE - loop.time()))
            await client.send(system.encode(recording[at : at + STEP], at))
        receiving.cancel()
    return heard, arrived


def score(heard: Sequence[str], arrived: Sequence[float], seconds: float) -> tuple[list[float | None], float]:
    """Milliseconds after each turn's end until it was final (None: never), and the share of words wrong."""
    turns = [turn for turn in SCRIPT.turns if turn.end_s <= seconds]
    said = [(word, number) for number, turn in enumerate(turns) for word in words(turn.text)]
    matcher = SequenceMatcher(None, [word for word, _ in said], heard, autojunk=False)
    final_s: dict[int, float] = {}
    for start, other, size in matcher.get_matching_blocks():
        final_s |= {said[start + n][1]: arrived[other + n] for n in range(size)}
    late = [1e3 * (final_s[n] - turn.end_s) if n in final_s else None for n, turn in enumerate(turns)]
    return late, float(edit_distance([word for word, _ in said], list(heard))) / len(said)


async def measure(system: System, port: int, group: int, sessions: int) -> dict[str, Any]:
    until = FIRST[1]
    pcm = demo().sum(axis=0)[: round(until * SAMPLE_RATE)].clip(-1, 1)
    recording = np.pad(pcm, (0, round(SILENCE_S * SAMPLE_RATE)))
    before_s = _cpu_s(group)
    async with asyncio.timeout(2 * len(recording) / SAMPLE_RATE + 60):
        heard = await asyncio.gather(*(listen(system, port, n, recording) for n in range(sessions)))
    cpu_s = _cpu_s(group) - before_s
    scores = [score(*it, until) for it in heard]
    late = [ms for turns, _ in scores for ms in turns]
    known = [ms for ms in late if ms is not None]
    p50_ms, p95_ms = (round(float(np.percentile(known, it))) for it in (50, 95)) if known else (None, None)
    return {
        "p50_ms": p50_ms,
        "p95_ms": p95_ms,
        "turns": len(late),
        "never_final": late.count(None),
        "cpu_s_per_minute": round(60 * cpu_s / (len(recording) / SAMPLE_RATE) / sessions, 1),
        "words_wrong": round(float(np.mean([wrong for _, wrong in scores])), 3),
    }


def _cpu_s(group: int) -> float:
    """Processor time of all processes of the group that still run (Linux)."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rows_of(system: System, options: argparse.Namespace, model: Path) -> list[dict[str, Any]]:
    with serving(system, options.cache, model) as (port, group):
        asyncio.run(listen(system, port, 0, demo().sum(axis=0)[: WARM_UP_S * SAMPLE_RATE]))
        return [
            {"system": system.name, "sessions": n, **asyncio.run(measure(system, port, group, n))}
            for n in options.sessions
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [it.name for it in SYSTEMS]
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4], help="at once (default: 1 2 4)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--cache", type=Path, default=Path("cache/peers"), help="folder of the peers' environments")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    options.cache = options.cache.resolve()
    model = bundled()
    if model is None:
        parser.error(f"needs the bundled Whisper: {INSTALL_BUNDLE}")
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for system in SYSTEMS:
        if system.name in options.only:
            try:
                rows += rows_of(system, options, model)
            except (SkippedError, OSError, TimeoutError) as error:
                skipped[system.name] = str(error) or type(error).__name__
    if options.json:
        print(json.dumps({"rows": rows, "skipped": skipped}))
        return
    if rows:
        table = Table(*(name.replace("_", " ") for name in rows[0]))
        for row in rows:
            table.add_row(*("-" if value is None else str(value) for value in row.values()))
        Console().print(table)
    for name, reason in skipped.items():
        print(f"{name} was skipped: {reason}")


if __name__ == "__main__":
    main()

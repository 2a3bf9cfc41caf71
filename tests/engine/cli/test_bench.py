"""`cberl bench` as a process."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

from testing.bundled_whisper import require_whisper
from testing.command import MAIN


def start(folder: Path, *flags: str, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{before}\n{MAIN}", "bench", *flags]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def test_ctrl_c_ends_its_server_and_prints_what_was_measured_so_far(tmp_path: Path) -> None:
    require_whisper()
    flags = ("--conversations", "2,1", "--seconds", "15", "--captions", "--json", "--plot", "curve.png")
    process = start(tmp_path, *flags, "--", "--whisper-model", "tiny.en", "--stats-s", "3600")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("1 conversations"):
            process.send_signal(signal.SIGINT)
            break
    status, out, err = output(process)
    assert status == 130, err
    found = json.loads(out)
    (row,) = found["rows"]
    assert found["interrupted"]
    assert (row["conversations"], row["failed"], row["missed"], row["dropped_chunks"]) == (2, 0, 0, 0)
    assert row["turns"] >= 2
    assert 100 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert (row["server_cores"] or 1) > 0
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "cberl-bench" not in err


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    hide = "import sys; sys.modules['matplotlib'] = None"
    cases = [
        (("--speaking", "0"), "", 2, "0.0 is not in the range"),
        (("--conversations", "2,x"), "", 2, "numbers from 1 on with commas between them"),
        (("--url", nobody, "--", "--port", "1"), "", 2, "flags after -- are for the engine that is started here"),
        (("--plot", "curve.png"), hide, 1, "pip install 'cberl-engine[train]'"),
        (("--url", nobody, "--conversations", "1"), "", 1, "no conversation was accepted: the connection was lost"),
        (("--conversations", "1", "--", "--checkpoint", "nowhere"), "", 1, "the server did not start:"),
    ]
    started = [(start(tmp_path, *flags, before=before), status, says) for flags, before, status, says in cases]
    for process, status, says in started:
        code, _, err = output(process)
        assert (code, says in err) == (status, True), err
        assert "Traceback" not in err

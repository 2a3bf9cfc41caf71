"""`cberl run` on a real RTSP server that is killed and restarted."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import wave
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from testing.command import MAIN
from testing.gstreamer import python_with
from testing.live_engine import Message, demo

SERVER = Path(__file__).parents[2] / "testing" / "rtsp_server.py"
PIPE = subprocess.PIPE


@asynccontextmanager
async def playing(python: str, port: int, path: Path) -> AsyncIterator[None]:
    """Killed at the end, as by a power cut."""
    server = await asyncio.create_subprocess_exec(python, str(SERVER), str(port), str(path), stdout=PIPE)
    try:
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        yield
    finally:
        server.kill()
        await server.wait()


async def said(run: Process) -> Message:
    assert run.stdout is not None
    message: Message = json.loads(await run.stdout.readline())
    return message


@pytest.mark.timeout(300)
def test_a_camera_that_restarts_is_reopened(tmp_path: Path) -> None:
    python = python_with("GstRtspServer")
    if python is None:
        pytest.skip("needs packages python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good")
    turn = demo()[0, : round(3.7 * SAMPLE_RATE)]
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.pad(turn, (0, 60 * SAMPLE_RATE)) * 32_767).astype("<i2").tobytes())

    async def main() -> tuple[list[Message], str]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = ["-c", MAIN, "run", f"rtsp://127.0.0.1:{port}/live"]
        finals: list[Message] = []
        async with playing(python, port, tmp_path / "said.wav"):
            run = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--whisper-model", "tiny.en", "--json",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=PIPE, stderr=PIPE,
            )  # fmt: skip
            finals.append(await said(run))
        async with playing(python, port, tmp_path / "said.wav"):
            finals.append(await said(run))
            run.send_signal(signal.SIGINT)
            _, told = await run.communicate()
        assert run.returncode in (0, 130)
        return finals, told.decode()

    (first, again), told = asyncio.run(main())
    assert "mail come for me today" in first["text"].lower()
    assert again["text"] == first["text"]
    assert again["start_s"] > first["end_s"] + 1
    assert (first["utterance"], again["utterance"]) == ("live/speaker-1/1", "live/speaker-1/2")
    assert "trying again in 0.5 s" in told
    assert "Traceback" not in told

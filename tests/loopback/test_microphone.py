"""`cberl run mic` on a real sound server whose microphone records what is played, and without a microphone."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from testing.command import MAIN
from testing.live_engine import Message, demo

PIPE = subprocess.PIPE
THERE = (
    shutil.which("pulseaudio") and shutil.which("paplay") and list(Path("/usr/lib").glob("*/alsa-lib/*pcm_pulse.so"))
)
NULL_SINK = """\
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=nowhere
set-default-source nowhere.monitor
"""


@asynccontextmanager
async def sound_server(folder: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of its clients."""
    script, socket = folder / "null.pa", folder / "socket"
    script.write_text(NULL_SINK.format(socket=socket))
    own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_SERVER": f"unix:{socket}"}
    environment = {name: it for name, it in os.environ.items() if not name.startswith("ALSA_")} | own
    command = ["pulseaudio", "-n", "--exit-idle-time=-1", "--daemonize=no", "-F", str(script)]
    server = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not socket.exists():  # noqa: ASYNC110, ASYNC240 - it says nothing when it is up
            assert server.returncode is None
            await asyncio.sleep(0.05)
        yield environment
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not THERE, reason="needs packages pulseaudio, pulseaudio-utils, libasound2-plugins")
def test_speech_into_the_microphone_is_recognized(tmp_path: Path) -> None:
    turn = demo()[0, : round(3.7 * SAMPLE_RATE)]
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.pad(turn, (SAMPLE_RATE, SAMPLE_RATE)) * 32_767).astype("<i2").tobytes())

    async def main() -> Message:
        async with sound_server(tmp_path) as environment:
            command = [
                sys.executable,
                "-c",
                MAIN,
                "run",
                "mic",
                "--whisper-model",
                "tiny.en",
            ]
            run = await asyncio.create_subprocess_exec(
                *command, env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=PIPE
            )
            assert run.stdout is not None
            hearing = asyncio.create_task(run.stdout.readline())
            while not hearing.done():  # said again until it is heard: when it listens, it does not say
                said = await asyncio.create_subprocess_exec("paplay", str(tmp_path / "said.wav"), env=environment)
                await said.wait()
            final: Message = json.loads(hearing.result())
            run.send_signal(signal.SIGINT)
            await run.communicate()
        return final

    final = asyncio.run(main())
    assert final["utterance"] == "mic/speaker-1/1"
    assert "any mail" in final["text"].lower()


@pytest.mark.skipif(sys.platform != "linux", reason="breaks ALSA's configuration")
def test_without_a_microphone_the_error_names_the_remedy() -> None:
    listen = "import asyncio; from engine.ingest.live import LiveSource; asyncio.run(anext(aiter(LiveSource('mic'))))"
    nowhere = os.environ | {"ALSA_CONFIG_DIR": "/nowhere", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", listen], env=nowhere, capture_output=True, text=True).stderr
    last = told.strip().splitlines()[-1]
    assert "MediaError: The microphone cannot be opened (" in last
    assert "check that `arecord -d 1 test.wav` works" in last

"""A WHIP publisher with ICE, DTLS and SRTP of its own: GStreamer."""

import asyncio
import json
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from testing.gstreamer import python_with
from testing.live_engine import Message, demo, running, until, ws

CLIENT = Path(__file__).parents[2] / "testing" / "gst_whip.py"


@pytest.mark.timeout(120)
def test_gstreamer_publishes_audio(tmp_path: Path) -> None:
    python = python_with("GstWebRTC", "GstSdp")
    if python is None:
        pytest.skip(
            "needs packages python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice, gstreamer1.0-plugins-bad"
        )
    turn = demo()[0, : round(3.7 * SAMPLE_RATE)]
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.pad(turn, (8 * SAMPLE_RATE, 60 * SAMPLE_RATE)) * 32_767).astype("<i2").tobytes())

    async def main() -> tuple[Message, Message]:
        pipe = subprocess.PIPE
        async with running() as (_, url), ws(url, "/events?conversation=demo") as watcher:
            endpoint = f"{url}/whip/demo?speaker=maya"
            client = await asyncio.create_subprocess_exec(
                python, str(CLIENT), endpoint, str(tmp_path / "said.wav"), stdin=pipe, stdout=pipe
            )
            assert client.stdout is not None
            assert "/whip/demo/" in (await client.stdout.readline()).decode()
            final = await until(watcher, "emotion")
            account, _ = await client.communicate(b"")
            assert client.returncode == 0
        return final, json.loads(account)

    final, account = asyncio.run(main())
    assert "mail come for me today" in final["text"].lower()
    assert final["modalities"]["audio"] == 1.0
    assert (account["type"], account["gaps"], account["dropped_chunks"]) == ("session.ended", 0, 0)
    assert account["received_s"] > final["end_s"]

"""FFmpeg publishes by WHIP, Opus and H.264: its muxer as PyAV's wheel has it.

It gets a certificate of secp256r1. The one that its GnuTLS makes by itself is of secp224r1, which OpenSSL refuses; the
command line has -cert_file and -key_file for that.
"""

import asyncio
import sys
from pathlib import Path

import av
import pytest

from testing.live_engine import Message, running, until, ws

MISSING = not {"libopus", "libx264"} <= av.codecs_available or "whip" not in av.formats_available


@pytest.mark.timeout(120)
@pytest.mark.skipif(MISSING, reason="this PyAV has no WHIP muxer, Opus or H.264 encoder: FFmpeg 8 has")
def test_ffmpeg_publishes_audio_and_video(tmp_path: Path, shared: Path) -> None:
    film = shared / "data/faces/pyfeat_single_face.mp4"

    async def main() -> Message:
        async with running() as (_, url), ws(url, "/events?conversation=demo") as watcher:
            command = ["-m", "testing.ffmpeg_whip", f"{url}/whip/demo?speaker=maya", str(tmp_path), str(film)]
            client = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=Path(__file__).parents[2])
            try:
                final = await until(watcher, "emotion")
                assert (await until(watcher, "speaker.left"))["speaker"] == "maya"
                assert await client.wait() == 0
            finally:
                if client.returncode is None:
                    client.kill()
                    await client.wait()
        return final

    final = asyncio.run(main())
    assert "mail come for me today" in final["text"].lower()
    assert final["modalities"]["visual"] > 0.1

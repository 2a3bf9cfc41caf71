"""Files that are damaged at their end: what precedes the damage is read, then it is an error."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from cberl.data.media import MediaError
from cberl.data.sound import decode
from cberl.types import Float32
from engine.ingest.file import FileSource
from engine.media import AudioChunk
from testing.odd_media import bursts, on_timeline, onsets, write_streams

RATE = 48_000
AT_S = [0.5, 1.5]
END = r"could be (read|decoded) only up to [23]\.\d s"


def damaged_end(path: Path, seconds: float = 6.0) -> Path:
    """From its middle on, a file of AAC whose packets are noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        pcm = bursts([0.5, 1.5, 4.0], seconds)[None]
        for at in range(0, pcm.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[:, at : at + 1024]), "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, at
            for packet in stream.encode(frame):
                if at > 3.0 * RATE:
                    packet.update(b"\xff" * packet.size)
                container.mux(packet)
    return path


def unreadable_end(path: Path) -> Path:
    """A chained Ogg of Opus, of which FFmpeg cannot read the second link: it has another number of channels."""
    content = b""
    for channels, layout in ((1, "mono"), (2, "stereo")):
        pcm = np.repeat(bursts(AT_S, 2.5)[None], channels, axis=0)
        content += write_streams(path, "libopus", [(0.0, pcm)], layout=layout, form="flt").read_bytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("build", [damaged_end, unreadable_end], ids=["damaged", "unreadable"])
def test_media_before_the_damage_is_read_and_then_the_damage_is_an_error(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = build(tmp_path / ("odd.mka" if build is damaged_end else "odd.ogg"))
    read: list[Float32] = []
    with pytest.raises(MediaError, match=END):
        read.extend(decode(path))
    assert onsets(np.concatenate(read)) == pytest.approx(AT_S, abs=0.07)

    async def main() -> tuple[list[AudioChunk], FileSource]:
        source = FileSource(str(path))
        return [chunk async for chunk in source], source

    chunks, source = asyncio.run(main())
    assert onsets(on_timeline(chunks)) == pytest.approx(AT_S, abs=0.07)
    with pytest.raises(MediaError, match=END):
        source.raise_error()

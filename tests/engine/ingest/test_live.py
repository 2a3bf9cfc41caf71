"""Live sources, served by this machine: an HLS playlist that grows, a connection that breaks."""

import asyncio
import io
from pathlib import Path

import av
import numpy as np
import pytest

from cberl.data.media import MediaError
from engine.ingest.live import LiveSource, is_live

RATE = 48_000


def mpegts(hertz: float, seconds: float, start_s: float = 0.0) -> bytes:
    """A transport stream of a tone, its clock beginning at `start_s`."""
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
        for at in range(0, len(samples) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, round(start_s * RATE) + at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("source", "live"),
    [
        ("rtsp://camera.local:554/stream", True),
        ("https://example.org/live.m3u8?token=a", True),
        ("tcp://127.0.0.1:9000", True),
        ("mic", True),
        ("https://example.org/talk.mp4", False),
        ("talks/mic.wav", False),
    ],
)
def test_which_addresses_are_live(source: str, live: bool) -> None:
    assert is_live(source) == live


def test_a_source_that_breaks_is_reopened_and_media_time_advances(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[float]:
        served = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            served += 1
            writer.write(mpegts(440, 1.0))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        starts: list[float] = []
        async with server:
            source = aiter(LiveSource(f"tcp://127.0.0.1:{port}"))
            async for chunk in source:
                starts.append(chunk.start_s)
                if served >= 3:
                    break
            await source.aclose()
        return starts

    starts = asyncio.run(main())
    assert starts == sorted(starts)
    assert sum(np.diff(starts) > 0.4) == 2  # two breaks, waited out
    assert "trying again" in caplog.text


def test_a_source_that_is_not_available_at_first_is_an_error_at_once() -> None:
    async def main() -> None:
        await anext(aiter(LiveSource("tcp://127.0.0.1:1")))

    with pytest.raises(MediaError, match="cannot be read as media: Connection refused"):
        asyncio.run(main())


def test_a_playlist_that_grows_is_read_to_its_end(tmp_path: Path) -> None:
    """Two segments when it is opened, and one more with each request of the playlist."""
    segments = [mpegts(440, 1.0, start_s=n) for n in range(5)]

    async def main() -> float:
        asked = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            path = (await reader.readline()).split()[1].decode()
            while (await reader.readline()).strip():
                pass
            if path == "/live.m3u8":
                asked += 1
                there = min(len(segments), 1 + asked)
                lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
                lines += [f"#EXTINF:1.0,\n{n}.ts" for n in range(there)]
                body = "\n".join(lines + ["#EXT-X-ENDLIST"] * (there == len(segments))).encode() + b"\n"
            else:
                body = segments[int(path.strip("/").removesuffix(".ts"))]
            kind = "application/vnd.apple.mpegurl" if path.endswith("m3u8") else "video/mp2t"
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            chunks = [chunk async for chunk in LiveSource(f"http://127.0.0.1:{port}/live.m3u8")]
        return chunks[-1].end_s

    assert asyncio.run(main()) == pytest.approx(5.0, abs=0.3)

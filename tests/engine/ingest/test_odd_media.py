"""Media that is not as expected, as files, as streams from an address, and as training reads them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from cberl.data.media import MediaError
from cberl.data.pictures import read_pictures
from cberl.data.sound import decode, probe
from cberl.types import SAMPLE_RATE, Float32
from engine.ingest.file import read_media
from engine.media import AudioChunk
from testing.odd_media import BURST_S, LEVEL, bursts, on_timeline, onsets, write_streams
from testing.recordings import write_film

AT_S = [0.5, 1.5]
SECONDS = 2.5
RATE = 48_000


def mono(seconds: float = SECONDS, at_s: list[float] = AT_S, rate: int = RATE) -> Float32:
    return bursts(at_s, seconds, rate)[None]


def format_changes(path: Path) -> Path:
    """As of two MP3 files that were appended to each other."""
    parts = [(48_000, "mono", 1), (32_000, "stereo", 2)]
    content = b""
    for rate, layout, channels in parts:
        pcm = np.repeat(mono(rate=rate), channels, axis=0)
        content += write_streams(path.with_suffix(".mp3"), "mp3", [(0.0, pcm)], rate=rate, layout=layout).read_bytes()
    path.with_suffix(".mp3").write_bytes(content)
    return path.with_suffix(".mp3")


def chained_ogg(path: Path) -> Path:
    path = path.with_suffix(".ogg")
    content = b"".join(write_streams(path, "libopus", [(0.0, mono())], form="flt").read_bytes() for _ in range(2))
    path.write_bytes(content)
    return path


def undecodable_first(path: Path) -> Path:
    path = path.with_suffix(".mka")
    content = write_streams(path, "ac3", [(0.0, mono(at_s=[0.2]))], [(0.0, mono())]).read_bytes()
    path.write_bytes(content.replace(b"A_AC3", b"A_XYZ", 1))
    return path


def undecodable_packets(path: Path) -> Path:
    """Known, but for instance encrypted: no packet of the first stream can be decoded."""
    path = path.with_suffix(".mka")
    with av.open(str(path), "w") as container:
        first, second = (container.add_stream("aac", rate=RATE, layout="mono") for _ in range(2))
        for at in range(0, round(SECONDS * RATE), 1024):
            for stream in (first, second):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono()[:, at : at + 1024]), "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, at
                for packet in stream.encode(frame):
                    if stream is first:
                        packet.update(b"\x55" * packet.size)
                    container.mux(packet)
    return path


def second_track_is_default(path: Path) -> Path:
    streams = [(0.0, mono(at_s=[0.2]))], [(0.0, mono())]
    return write_streams(path.with_suffix(".mka"), "aac", *streams, default=1, titles=("Desktop", "Microphone"))


def gap(path: Path) -> Path:
    return write_streams(path.with_suffix(".mka"), "pcm_s16le", [(0.0, mono()), (40.0, mono())], form="s16")


def not_finite(path: Path) -> Path:
    pcm = mono()
    pcm[0, 100:110] = np.nan, np.inf, -np.inf, 1e30, -1e30, 5.0, np.nan, np.nan, np.inf, np.nan
    return write_streams(path.with_suffix(".wav"), "pcm_f32le", [(0.0, pcm)], form="flt")


def twelve_channels(path: Path) -> Path:
    pcm = np.repeat(mono(), 12, axis=0)
    return write_streams(path.with_suffix(".mka"), "pcm_s16le", [(0.0, pcm)], layout="12C", form="s16")


def twelve_channels_of_which_one_is_used(path: Path) -> Path:
    pcm = np.concatenate([mono(), np.zeros((11, mono().shape[1]), np.float32)])
    return write_streams(path.with_suffix(".mka"), "pcm_s16le", [(0.0, pcm)], layout="12C", form="s16")


def eight_planes(path: Path) -> Path:
    pcm = np.repeat(mono(), 8, axis=0)
    return write_streams(path.with_suffix(".mka"), "libopus", [(0.0, pcm)], layout="7.1", form="flt")


def inverted(path: Path) -> Path:
    pcm = np.concatenate([mono(), -mono()])
    return write_streams(path.with_suffix(".wav"), "pcm_s16le", [(0.0, pcm)], layout="stereo", form="s16")


def colon(path: Path) -> Path:
    return write_streams(path.with_name("rec-10:32:05.wav"), "pcm_s16le", [(0.0, mono())], form="s16")


TWICE = [*AT_S, *(SECONDS + it for it in AT_S)]
KINDS: list[tuple[Callable[[Path], Path], list[float]]] = [
    (format_changes, TWICE),
    (chained_ogg, TWICE),
    (undecodable_first, AT_S),
    (undecodable_packets, AT_S),
    (second_track_is_default, AT_S),
    (gap, [*AT_S, *(40.0 + it for it in AT_S)]),
    (not_finite, AT_S),
    (twelve_channels, AT_S),
    (twelve_channels_of_which_one_is_used, AT_S),
    (eight_planes, AT_S),
    (inverted, AT_S),
    (colon, AT_S),
]


def from_file(path: Path) -> list[AudioChunk]:
    async def main() -> list[AudioChunk]:
        return [chunk async for chunk in read_media(str(path))]

    return asyncio.run(main())


def from_address(path: Path) -> list[AudioChunk]:
    """As a live source is read: nothing can be asked for a second time."""
    content = path.read_bytes()

    async def main() -> list[AudioChunk]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(content)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return [chunk async for chunk in read_media(f"tcp://127.0.0.1:{port}")]

    return asyncio.run(main())


def in_training(path: Path) -> Float32:
    return np.concatenate(list(decode(path)))


READERS: dict[str, Callable[[Path], Float32]] = {
    "file": lambda path: on_timeline(from_file(path)),
    "live": lambda path: on_timeline(from_address(path)),
    "training": in_training,
}


# Whether the packets of a stream can be decoded is known when its file has been read: live, it is over then.
CASES = [(it, reader) for it in KINDS for reader in READERS if (it[0], reader) != (undecodable_packets, "live")]


@pytest.mark.parametrize(
    ("build", "expected_s", "reader"),
    [(*it, reader) for it, reader in CASES],
    ids=[f"{it[0].__name__}-{reader}" for it, reader in CASES],
)
def test_odd_media_is_read_with_the_right_times(
    build: Callable[[Path], Path], expected_s: list[float], reader: str, tmp_path: Path
) -> None:
    path = build(tmp_path / "odd")
    pcm = READERS[reader](path)
    assert np.isfinite(pcm).all()
    assert np.abs(pcm).max() <= 1.0
    starts_s = onsets(pcm)
    assert starts_s == pytest.approx(expected_s, abs=0.07)
    for at_s in starts_s:
        burst = pcm[round((at_s + 0.1) * SAMPLE_RATE) : round((at_s + BURST_S - 0.1) * SAMPLE_RATE)]
        assert np.abs(burst).max() >= LEVEL * 0.6  # no channel has cancelled another


def test_several_tracks_are_named_in_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from_file(second_track_is_default(tmp_path / "odd"))
    assert "track 2 (Microphone) is used, not track 1 (Desktop)" in caplog.text
    caplog.clear()
    from_file(undecodable_first(tmp_path / "odd"))
    assert "track 2 is used, not track 1 (cannot be decoded)" in caplog.text


def test_a_file_whose_only_audio_cannot_be_decoded_is_one_sentence(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "odd.mka", "ac3", [(0.0, mono())])
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_XYZ", 1))
    for read in (from_file, in_training, probe):
        with pytest.raises(MediaError, match=r"odd.mka has audio, but in a format that cannot be decoded: convert"):
            read(path)


def announcement(path: Path, *, sign: float = 1.0) -> Path:
    """A second on both channels, then a second on the first, then one on the second."""
    both, one, other = (
        bursts(at_s, 12.0, SAMPLE_RATE) for at_s in ([0.5, 1.0, 1.5], [5.0, 5.5, 6.0], [9.0, 9.5, 10.0])
    )
    pair = np.stack([both + one, sign * both + other])
    return write_streams(path, "pcm_s16le", [(0.0, pair)], rate=SAMPLE_RATE, layout="stereo", form="s16")


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["alike", "inverted"])
def test_channels_that_are_alike_only_at_first_become_two_speakers(tmp_path: Path, sign: float) -> None:
    chunks = from_file(announcement(tmp_path / "call.wav", sign=sign))
    first = [chunk for chunk in chunks if chunk.track.speaker == "speaker-1"]
    second = [chunk for chunk in chunks if chunk.track.speaker == "speaker-2"]
    assert onsets(on_timeline(first)) == pytest.approx([0.5, 1.0, 1.5, 5.0, 5.5, 6.0], abs=0.02)
    heard_s = [chunk.start_s for chunk in second if np.abs(chunk.pcm).max() > 0.1]
    assert min(heard_s) == pytest.approx(9.0, abs=0.11)
    assert {chunk.start_s for chunk in second} <= {chunk.start_s for chunk in first}
    assert [chunk.track.named for chunk in (first[0], first[-1], second[0])] == [False, True, True]


def test_channels_that_differ_only_at_first_become_one_speaker(tmp_path: Path) -> None:
    beep, speech = bursts([0.5], 8.0, SAMPLE_RATE, 900.0), bursts([2.0 + n / 2 for n in range(10)], 8.0, SAMPLE_RATE)
    pair = [(0.0, np.stack([beep + speech, speech]))]
    path = write_streams(tmp_path / "a.wav", "pcm_s16le", pair, rate=SAMPLE_RATE, layout="stereo", form="s16")
    chunks = from_file(path)
    late = [chunk for chunk in chunks if chunk.start_s > 4.5]
    assert {chunk.track.speaker for chunk in late if chunk.pcm.any()} == {"speaker-1"}


def film_with_late_audio(path: Path) -> Path:
    """The picture turns white at 5 s, when the burst starts; the audio stream starts at 4 s."""
    pictures = [np.full((64, 64, 3), 255 if n >= 50 else 0, np.uint8) for n in range(70)]
    write_film(path.with_suffix(".mkv"), pictures, 10, np.zeros(16, np.float32))
    with av.open(str(path.with_suffix(".mkv"))) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        pcm = (bursts([1.0], 3.0, SAMPLE_RATE) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 4 * SAMPLE_RATE
        container.mux([*audio.encode(frame), *audio.encode(None)])
    return path


def test_audio_and_video_stay_aligned_where_the_audio_of_a_film_starts_late(tmp_path: Path) -> None:
    path = film_with_late_audio(tmp_path / "film.mka.mkv")

    async def main() -> list[AudioChunk]:
        return [chunk async for chunk in read_media(str(path), look=True)]

    chunks = asyncio.run(main())
    assert onsets(on_timeline(chunks)) == pytest.approx([5.0], abs=0.02)
    frames = [frame for chunk in chunks for frame in chunk.frames]
    assert min(frame.at_s for frame in frames if frame.rgb.mean() > 200) == pytest.approx(5.0, abs=0.35)
    assert max(frame.at_s for frame in frames if frame.rgb.mean() < 50) < 5.0

    assert onsets(in_training(path)) == pytest.approx([5.0], abs=0.02)
    (_, before), (_, after) = read_pictures(path, [(4.0, 4.8), (5.0, 6.0)])
    assert before
    assert after
    assert max(rgb.mean() for rgb in before) < 50 < 200 < min(rgb.mean() for rgb in after)
    assert probe(path).duration_s == pytest.approx(7.0, abs=0.1)

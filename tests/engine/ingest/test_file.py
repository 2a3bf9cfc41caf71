import asyncio
import struct
import threading
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cberl.data.media import MediaError
from engine.ingest.file import read_media
from engine.media import AudioChunk

RATE = 44_100


def tone(hertz: float, seconds: float = 1.05) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def write(path: Path, *channels: NDArray[np.float64]) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.stack(channels, axis=1) * 32767).astype("<i2").tobytes())  # (n, channels)
    return str(path)


def read(path: str, speakers: list[str] | None = None, realtime: bool = False, look: bool = False) -> list[AudioChunk]:
    async def main() -> list[AudioChunk]:
        return [chunk async for chunk in read_media(path, realtime=realtime, speakers=speakers, look=look)]

    return asyncio.run(main())


def loudest_hertz(chunks: list[AudioChunk]) -> float:
    pcm = np.concatenate([chunk.pcm for chunk in chunks])
    return float(np.abs(np.fft.rfft(pcm)).argmax() * 16_000 / len(pcm))


def test_one_channel_is_one_speaker_resampled_and_complete(tmp_path: Path) -> None:
    chunks = read(write(tmp_path / "a.wav", tone(440)))
    assert {chunk.track.speaker for chunk in chunks} == {"speaker-1"}
    assert [len(chunk.pcm) for chunk in chunks[:-1]] == [1600] * (len(chunks) - 1)
    assert [chunk.start_s for chunk in chunks] == pytest.approx([n / 10 for n in range(len(chunks))])
    assert chunks[-1].end_s == pytest.approx(1.05, abs=0.01)
    assert loudest_hertz(chunks) == pytest.approx(440, abs=2)
    assert all(chunk.pcm.dtype == np.float32 for chunk in chunks)


def test_two_channels_are_two_speakers_alternating_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", tone(440), tone(880))
    chunks = read(path, speakers=["ann", "bob"])
    assert [chunk.track.speaker for chunk in chunks[:4]] == ["ann", "bob", "ann", "bob"]
    assert loudest_hertz(chunks[::2]) == pytest.approx(440, abs=2)
    assert loudest_hertz(chunks[1::2]) == pytest.approx(880, abs=2)
    assert [c.start_s for c in chunks[::2]] == [c.start_s for c in chunks[1::2]]
    assert {chunk.track.speaker for chunk in read(path)} == {"speaker-1", "speaker-2"}


def test_two_channels_with_the_same_sound_are_one_speaker_unless_two_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "one-microphone.wav", tone(440), tone(440) * 0.9)
    assert {chunk.track.speaker for chunk in read(path)} == {"speaker-1"}
    assert {chunk.track.speaker for chunk in read(path, ["ann"])} == {"ann"}
    assert {chunk.track.speaker for chunk in read(path, ["ann", "bob"])} == {"ann", "bob"}


def test_more_channels_are_mixed_down(tmp_path: Path) -> None:
    chunks = read(write(tmp_path / "room.wav", tone(440), tone(440), tone(440), tone(440)))
    assert {chunk.track.speaker for chunk in chunks} == {"speaker-1"}
    assert loudest_hertz(chunks) == pytest.approx(440, abs=2)


def test_realtime_changes_when_chunks_are_yielded_and_not_their_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(440, seconds=0.25))
    for paced, plain in zip(read(path, realtime=True), read(path), strict=True):
        np.testing.assert_array_equal(paced.pcm, plain.pcm)


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes(b"fLaC" + bytes(range(256)) * 40)
    text = tmp_path / "notes.txt"
    text.write_text("This is not a recording. " * 100)
    stereo = write(tmp_path / "call.wav", tone(440), tone(880))
    for path, speakers, message in (
        (str(tmp_path / "nowhere.wav"), None, "is missing: check the path"),
        (str(text), None, "no audio stream|cannot be read as media"),
        (str(damaged), None, "cannot be read as media"),
        (str(tmp_path), None, "cannot be read as media"),
        (write(tmp_path / "empty.wav", tone(440, seconds=0)), None, "no sound in it|cannot be read"),
        (stereo, ["ann"], "2 channels of speech, but 1 speaker was named"),
        (stereo, ["ann", "ann"], "a speaker name of its own"),
        (write(tmp_path / "mono.wav", tone(440)), ["ann", "bob"], "1 channel of speech, but 2 speakers were"),
    ):
        with pytest.raises(MediaError, match=message):
            read(path, speakers)


def test_a_film_without_audio_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "silent.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(MediaError, match="no audio stream"):
        read(str(path))


def film(path: Path, *sound: np.ndarray, seconds: float = 2.0, rate: int = 10) -> str:
    """The brightness of each frame is its number. `sound`: one array per channel."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate)
        audio = container.add_stream("pcm_s16le", rate=RATE)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        audio.layout = "stereo" if len(sound) == 2 else "mono"
        for number in range(int(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(np.full((720, 1280, 3), 10 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        pcm = (np.stack(sound, axis=1).reshape(1, -1) * 20_000).astype(np.int16)  # (n, channels) -> (1, n * channels)
        block = av.AudioFrame.from_ndarray(pcm, format="s16", layout=audio.layout.name)
        block.sample_rate, block.pts = RATE, 0
        container.mux([*audio.encode(block), *audio.encode(None), *video.encode(None)])
    return str(path)


def test_a_film_has_three_frames_per_second_with_the_audio_of_their_time(tmp_path: Path) -> None:
    path = film(tmp_path / "scene.mkv", tone(440, seconds=2.0), tone(880, seconds=2.0))
    chunks = read(path, look=True)
    assert {chunk.track.speaker for chunk in chunks} == {"speaker-1"}  # left and right of one scene
    shown = [(chunk, frame) for chunk in chunks for frame in chunk.frames]
    assert [frame.at_s for _, frame in shown] == pytest.approx([0, 0.4, 0.7, 1.0, 1.4, 1.7], abs=0.01)
    for chunk, frame in shown:
        assert chunk.start_s - 1e-3 <= frame.at_s < chunk.end_s
        assert frame.rgb.shape == (360, 640, 3)
        assert frame.rgb.mean() == pytest.approx(100 * frame.at_s, abs=4)
    assert not any(chunk.frames for chunk in read(path))
    two = read(path, ["ann", "bob"], look=True)
    assert {chunk.track.speaker for chunk in two} == {"ann", "bob"}
    assert not any(chunk.frames for chunk in two)  # whose face it is, nobody knows


def test_a_rotated_film_has_upright_frames(tmp_path: Path) -> None:
    """Its display matrix rotates a landscape recording by a quarter, to portrait."""
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=10), container.add_stream("aac", rate=RATE, layout="mono")
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        recorded = np.zeros((180, 320, 3), np.uint8)
        recorded[:, :160] = 250  # bright is where the recorded picture is left
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(recorded, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        for at in range(0, RATE - 1024, 1024):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts = RATE, at
            container.mux(audio.encode(block))
        container.mux([*audio.encode(None), *video.encode(None)])
    content = bytearray(path.read_bytes())
    one, quarter = 0x10000, (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # clockwise, 16.16 and 2.30 fixed point
    matrix = content.index(struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 0x40000000), content.index(b"tkhd"))
    content[matrix : matrix + 36] = struct.pack(">9i", *quarter)
    path.write_bytes(content)

    shown = [frame.rgb for chunk in read(str(path), look=True) for frame in chunk.frames]
    assert {rgb.shape for rgb in shown} == {(320, 180, 3)}
    for rgb in shown:
        assert rgb[:150].mean() > 230  # turned clockwise, left is above
        assert rgb[170:].mean() < 20


def test_damaged_packets_in_the_middle_leave_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "damaged.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        sound = tone(440, seconds=4.0)[: 170 * 1024].astype(np.float32).reshape(170, 1, 1024)
        for number, pcm in enumerate(sound):
            frame = av.AudioFrame.from_ndarray(pcm, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, number * 1024
            for packet in stream.encode(frame):
                if 60 <= number < 80:  # 20 of 170 packets
                    packet.update(b"\xff" * packet.size)
                container.mux(packet)
        container.mux(stream.encode(None))
    chunks = read(str(path))
    assert chunks[-1].end_s == pytest.approx(170 * 1024 / RATE, abs=0.1)
    assert "damaged" in caplog.text


def test_closing_the_reader_early_ends_its_thread(tmp_path: Path) -> None:
    async def main() -> None:
        source = read_media(write(tmp_path / "long.wav", tone(440, seconds=30)))
        await anext(source)
        decoding = [thread for thread in threading.enumerate() if thread.name.startswith("media")]
        assert len(decoding) == 1
        await source.aclose()
        await asyncio.to_thread(decoding[0].join)

    asyncio.run(main())

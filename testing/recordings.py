"""Small media files for tests."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import av
import numpy as np

import engine.demo
from cberl.data.clip_tasks import ClipEncoder, Encode
from cberl.data.sound import Span, read_spans
from cberl.types import SAMPLE_RATE, Float32

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"


def audio_clip_encoder(encode: Encode, made_by: str) -> ClipEncoder:
    """A clip encoder that calls `encode`."""
    return ClipEncoder("prosody", made_by, "audio", read_spans, partial(_itself, encode))


def _itself(encode: Encode) -> Encode:
    return encode


def read_fatal(path: Path, spans: Sequence[Span], channel: int | None) -> Iterator[tuple[int, Float32]]:
    """As `read_spans`, but a file called fatal ends the process, and one called odd raises, as bugs in decoders do."""
    if path.stem == "fatal":
        os._exit(1)
    if path.stem == "odd":
        raise AttributeError("'NoneType' object has no attribute 'channels'")
    yield from read_spans(path, spans, channel)


def write_wav(path: Path, pcm: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    """float32[channels, n] as 16-bit PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        layout = {1: "mono", 2: "stereo"}[len(pcm)]
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        packed = np.rint(pcm * 32767).astype(np.int16).T.reshape(1, -1)  # (channels, n) -> (1, n * channels)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_talk(path: Path, seconds: float = 10.0, *, mono: bool = False) -> Path:
    """The beginning of the demo, three turns in ten seconds, with one channel per speaker, or mixed to one."""
    with av.open(str(DEMO)) as container:
        pcm = np.concatenate([block.to_ndarray() for block in container.decode(audio=0)], axis=1)  # (1, 2n) interleaved
    channels = pcm.reshape(-1, 2).T[:, : round(seconds * SAMPLE_RATE)].astype(np.float32) / 32768
    return write_wav(path, channels.sum(axis=0, keepdims=True).clip(-1, 1) if mono else channels)


def tone(hz: float, seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_mp4(path: Path, pcm: np.ndarray) -> Path:
    """float32[n] at 16 kHz as AAC, with a few frames of grey video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for _ in range(round(10 * len(pcm) / SAMPLE_RATE)):
            grey = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            container.mux(video.encode(grey))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[None]), format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def write_film(path: Path, pictures: Sequence[np.ndarray], rate: int, pcm: np.ndarray) -> Path:
    """RGB pictures uint8[h, w, 3] at `rate` per second, with float32[n] at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=rate), container.add_stream("pcm_s16le", rate=SAMPLE_RATE)
        video.height, video.width, _ = pictures[0].shape
        video.pix_fmt, video.bit_rate, audio.layout = "yuv420p", 2_000_000, "mono"
        for number, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray((pcm[None] * 32767).astype(np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.pts = SAMPLE_RATE, 0
        container.mux([*audio.encode(sound), *audio.encode(None), *video.encode(None)])
    return path

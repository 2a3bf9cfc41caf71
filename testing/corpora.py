"""Small corpora and films in the layout of real ones, for tests."""

import wave
from pathlib import Path

import av
import cv2
import numpy as np

from cberl.types import SAMPLE_RATE
from testing.recordings import write_film

RATE = 12  # pictures per second


def make_talking_film(shared: Path, path: Path) -> Path:
    """Two seconds of a face, one without; speech throughout."""
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        faces = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pictures = [faces[n % len(faces)] for n in range(2 * RATE)] + [np.zeros_like(faces[0])] * RATE
    clip = next((shared / "data/ravdess").rglob("03-01-05-*-01.*"))
    return write_film(path, pictures, RATE, spoken(clip))


def spoken(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])[: 3 * SAMPLE_RATE]


def make_ravdess(folder: Path) -> Path:
    """Three actors who buzz at 120 to 300 Hz, with one clip per emotion each."""
    folder.mkdir()
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for actor in (18, 19, 20):
        for emotion in range(1, 9):
            pcm = 0.2 * np.sign(np.sin(2 * np.pi * (100 + 20 * emotion + actor) * time_s)) * np.hanning(SAMPLE_RATE)
            with wave.open(str(folder / f"03-01-{emotion:02}-01-01-01-{actor}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes((pcm * 32767).astype("<i2").tobytes())
    return folder


def make_fer2013(path: Path) -> Path:
    """Forty pictures per emotion of Training, and two of PublicTest, one of them a copy."""
    rng = np.random.default_rng(0)
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    training = rng.integers(0, 255, (7 * 40, 48, 48), np.uint8)
    test = np.concatenate([training[::40], rng.integers(0, 255, (7, 48, 48), np.uint8)])
    encoded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in (*training, *test)]
    label = [*np.repeat(np.arange(7), 40), *range(7), *range(7)]
    np.savez(
        path,
        jpeg=np.concatenate(encoded),
        offsets=np.cumsum([0] + [len(one) for one in encoded]),
        usage=np.array([0] * 280 + [1] * 14, np.int8),
        usages=np.array(["Training", "PublicTest"]),
        label=np.array(label, np.int8),
        labels=np.array(names),
    )
    return path

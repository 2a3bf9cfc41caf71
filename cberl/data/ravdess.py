"""RAVDESS speech (Livingstone & Russo 2018): actors say two sentences with eight emotions at two intensities.

Layout: one folder of `03-01-EE-II-SS-RR-AA.flac` (or .wav): emotion, intensity, statement, repetition, actor. The
speech is acted and has only two sentences, so a network learns vocal expression from it, not spontaneous speech.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from cberl.data.dialogue import DataError
from cberl.labels import MELD
from cberl.types import SAMPLE_RATE, Float32

# The third field of a file's name, from 01; calm counts as neutral.
_EMOTIONS = ("neutral", "neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
_NAME = re.compile(r"03-01-0([1-8])-0[12]-0[12]-0[12]-(\d\d)")
# By speaker, so that no speaker is in two splits. Odd actors are men, even ones women.
SPLITS = {"train": range(1, 15), "dev": range(15, 18), "test": range(18, 21)}
_SOUND = (".flac", ".wav")
_QUIET_DB = 40.0  # below the loudest 10 ms: not part of the utterance
_MARGIN_FRAMES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """`pcm` float32[n] at 16 kHz, trimmed to the speech; `label` indexes MELD's seven."""

    pcm: Float32
    label: int
    actor: int


def read_ravdess(folder: Path, actors: Collection[int]) -> list[Clip]:
    """The clips of some actors, in order of file name. Raises `DataError`."""
    found = [(path, _NAME.fullmatch(path.stem)) for path in sorted(folder.glob("03-01-*")) if path.suffix in _SOUND]
    if not found:
        raise DataError(f"{folder} holds no 03-01-*.flac or .wav: give the folder with RAVDESS's speech")
    clips = []
    for path, fields in found:
        if fields is None:
            raise DataError(f"{path.name} is not a name of RAVDESS: expected 03-01-EE-II-SS-RR-AA")
        if int(fields[2]) in actors:
            clips.append(Clip(loud_part(_read(path)), MELD.index(_EMOTIONS[int(fields[1]) - 1]), int(fields[2])))
    if not clips:
        raise DataError(f"{folder} has no clip of actors {sorted(actors)}")
    return clips


def loud_part(pcm: Float32) -> Float32:
    """From the first to the last 10 ms within 40 dB of the loudest, with a margin of 100 ms, like a detected turn."""
    hop = SAMPLE_RATE // 100
    frames = pcm[: len(pcm) // hop * hop].reshape(-1, hop)  # (frames * hop,) -> (frames, hop)
    if not len(frames):
        return pcm
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level >= level.max() * 10 ** (-_QUIET_DB / 20))
    return pcm[max(int(loud[0]) - _MARGIN_FRAMES, 0) * hop : (int(loud[-1]) + 1 + _MARGIN_FRAMES) * hop]


def _read(path: Path) -> Float32:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    try:
        with av.open(str(path)) as container:
            decoded = [*container.decode(audio=0), None]  # None flushes the resampler
            parts = [out.to_ndarray()[0] for frame in decoded for out in resampler.resample(frame)]
    except av.error.FFmpegError as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error
    return np.concatenate(parts).astype(np.float32)

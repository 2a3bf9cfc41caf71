"""Recordings of people who act emotions or make sounds: RAVDESS, TESS, and a set of nonverbal vocalisations.

- RAVDESS (Livingstone & Russo 2018): files `03-01-EE-II-SS-RR-AA.flac`: emotion, intensity, statement, repetition,
  actor. Two sentences, eight emotions, two intensities.
- TESS (Pichora-Fuller & Dupuis 2020): files `OAF_word_angry.opus`: two women say 200 words in "Say the word ...".
- Vocalisations: files `laughing_SPEAKER_....opus` beside `index.jsonl`, whose rows give label and speaker.

A network learns vocal expression from these, not spontaneous speech.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cberl.data.dialogue import DataError
from cberl.data.sound import decode
from cberl.labels import MELD
from cberl.types import SAMPLE_RATE, Float32

SOUND_FILES = (".flac", ".wav", ".opus", ".ogg", ".mp3", ".m4a")
# The third field of a file's name, from 01; calm counts as neutral.
_RAVDESS_EMOTIONS = ("neutral", "neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
_RAVDESS_NAME = re.compile(r"03-01-0([1-8])-0[12]-0[12]-0[12]-(\d\d)")
_TESS_EMOTIONS = {
    "neutral": "neutral", "happy": "joy", "sad": "sadness", "angry": "anger", "fear": "fear", "disgust": "disgust",
    "ps": "surprise",
}  # fmt: skip
_TESS_NAME = re.compile(r"([OY]AF)_\w+_([a-z]+)")
_QUIET_DB = 40.0  # below the loudest 10 ms: not part of the utterance
_MARGIN_FRAMES = 10


@dataclass(frozen=True, slots=True, eq=False)
class ActedClip:
    """`pcm` float32[n] at 16 kHz, trimmed to the sound; `label` indexes MELD's seven."""

    pcm: Float32
    label: int
    actor: str


@dataclass(frozen=True, slots=True, eq=False)
class Vocalisation:
    """`pcm` float32[n] at 16 kHz; `kind` such as "laughing"; `person` is "" where nobody made the sound."""

    pcm: Float32
    kind: str
    person: str


def read_ravdess(folder: Path, actors: Collection[int] | None = None) -> list[ActedClip]:
    """The clips of some actors, by default all, in order of file name. Raises `DataError`."""
    clips = []
    for path in _sound_files(folder, "03-01-*", "RAVDESS's speech"):
        fields = _RAVDESS_NAME.fullmatch(path.stem)
        if fields is None:
            raise DataError(f"{path.name} is not a name of RAVDESS: expected 03-01-EE-II-SS-RR-AA")
        if actors is None or int(fields[2]) in actors:
            label = MELD.index(_RAVDESS_EMOTIONS[int(fields[1]) - 1])
            clips.append(ActedClip(loud_part(_read(path)), label, f"ravdess-{fields[2]}"))
    if not clips:
        raise DataError(f"{folder} has no clip of actors {sorted(actors or ())}")
    return clips


def read_tess(folder: Path) -> list[ActedClip]:
    """All clips, in order of file name. Raises `DataError`."""
    clips = []
    for path in _sound_files(folder, "?AF_*", "TESS"):
        fields = _TESS_NAME.fullmatch(path.stem)
        if fields is None or fields[2] not in _TESS_EMOTIONS:
            raise DataError(f"{path.name} is not a name of TESS: expected OAF_word_emotion")
        label = MELD.index(_TESS_EMOTIONS[fields[2]])
        clips.append(ActedClip(loud_part(_read(path)), label, f"tess-{fields[1]}"))
    return clips


def read_vocalisations(folder: Path) -> list[Vocalisation]:
    """All of `index.jsonl`. Raises `DataError`."""
    index = folder / "index.jsonl"
    try:
        rows = [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines() if line.strip()]
        named = [(Path(row["file"]).stem, str(row["label"]), str(row["speaker"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{index} cannot be read: {error}") from error
    files = {path.stem: path for path in _sound_files(folder, "*", "vocalisations")}
    missing = [stem for stem, _, _ in named if stem not in files]
    if missing:
        raise DataError(f"{folder} has no file {missing[0]}, which its index names ({len(missing)} are missing)")
    return [Vocalisation(loud_part(_read(files[stem])), kind, person) for stem, kind, person in named]


def read_sounds(folder: Path) -> list[Vocalisation]:
    """Every sound file of a folder, as sounds that nobody made with their voice. Raises `DataError`."""
    return [Vocalisation(_read(path), "noise", "") for path in _sound_files(folder, "*", "sounds")]


def loud_part(pcm: Float32) -> Float32:
    """From the first to the last 10 ms within 40 dB of the loudest, with a margin of 100 ms, like a detected turn."""
    hop = SAMPLE_RATE // 100
    frames = pcm[: len(pcm) // hop * hop].reshape(-1, hop)  # (frames * hop,) -> (frames, hop)
    if not len(frames):
        return pcm
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level >= level.max() * 10 ** (-_QUIET_DB / 20))
    return pcm[max(int(loud[0]) - _MARGIN_FRAMES, 0) * hop : (int(loud[-1]) + 1 + _MARGIN_FRAMES) * hop]


def _sound_files(folder: Path, pattern: str, what: str) -> Iterator[Path]:
    found = sorted(path for path in folder.glob(pattern) if path.suffix in SOUND_FILES)
    if not found:
        raise DataError(f"{folder} holds no {pattern}.flac, .wav or .opus: give the folder with {what}")
    yield from found


def _read(path: Path) -> Float32:
    return np.concatenate([np.empty(0, np.float32), *decode(path)])

"""A small synthetic corpus in the layout of docs/data.md, to try the commands with and as an example of the layout.

Text and sound both correlate with the label. The sound is a buzz of a given pitch and loudness. Scores on it are
meaningless.
"""

import json
import random
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cberl.data import own
from cberl.data.dialogue import DataError
from cberl.types import SAMPLE_RATE, Float32

CONVERSATIONS = {"train": 20, "dev": 6, "test": 6}
WORD_S, PAUSE_S = 0.25, 0.4


@dataclass(frozen=True, slots=True)
class Manner:
    """How an emotion is expressed."""

    weight: int  # frequency of the label
    loudness: float
    pitch: float  # factor on the speaker's own
    lines: tuple[str, ...]


MANNERS = {
    "neutral": Manner(
        5, 0.10, 1.0, ("The bus leaves at nine.", "Your order is in the shop.", "It is the second door.")
    ),
    "joy": Manner(3, 0.16, 1.25, ("We won the first prize!", "What a lovely surprise party!", "She said yes to me!")),
    "anger": Manner(
        2, 0.30, 1.15, ("You broke it on purpose!", "I told you never to call!", "Get your hands off that!")
    ),
    "sadness": Manner(1, 0.05, 0.8, ("My old dog died last night.", "Nobody came to see me.", "I miss her every day.")),
}
VOICES_HZ = {"ada": 210.0, "ben": 120.0}


def make_sample(folder: Path, seed: int = 0) -> None:
    """Writes the corpus; equal seeds give equal files. Raises `DataError` if the folder holds anything else."""
    header = f'name = "sample"\nlabels = {json.dumps(list(MANNERS))}\n'
    if folder.is_dir() and any(folder.iterdir()):
        existing = folder / own.HEADER
        if not existing.is_file() or existing.read_text() != header:
            raise DataError(f"{folder} is not empty: give a new folder")
    (folder / "media").mkdir(parents=True, exist_ok=True)
    (folder / own.HEADER).write_text(header)
    draw = random.Random(seed)
    for split, count in CONVERSATIONS.items():
        rows = [row for n in range(count) for row in _conversation(folder, f"{split}-{n}", draw)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _conversation(folder: Path, name: str, draw: random.Random) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    sound, start_s = [_silence()], PAUSE_S
    for n in range(draw.randint(3, 6)):
        speaker = list(VOICES_HZ)[n % len(VOICES_HZ)]
        emotion = draw.choices(list(MANNERS), [manner.weight for manner in MANNERS.values()])[0]
        manner = MANNERS[emotion]
        text = draw.choice(manner.lines)
        pcm = _buzz(len(text.split()), VOICES_HZ[speaker] * manner.pitch * draw.uniform(0.95, 1.05), manner.loudness)
        end_s = start_s + len(pcm) / SAMPLE_RATE
        rows.append(
            {
                "conversation": name,
                "speaker": speaker,
                "start_s": round(start_s, 3),
                "end_s": round(end_s, 3),
                "text": text,
                "emotion": emotion,
                "media": f"media/{name}.wav",
            }
        )
        sound += [pcm, _silence()]
        start_s = end_s + PAUSE_S
    _write(folder / "media" / f"{name}.wav", np.concatenate(sound))
    return rows


def _buzz(words: int, hz: float, loudness: float) -> Float32:
    """A falling tone with the overtones of a voice, one swell per word: float32[words * WORD_S at 16 kHz]."""
    at_word = np.arange(round(words * WORD_S * SAMPLE_RATE)) / SAMPLE_RATE / WORD_S  # 0 .. words
    phase = 2 * np.pi * np.cumsum(hz * (1.1 - 0.2 * at_word / words)) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 9))
    return np.asarray(loudness * np.sin(np.pi * at_word) ** 2 * tone, dtype=np.float32)


def _silence() -> Float32:
    return np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)


def _write(path: Path, pcm: Float32) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(pcm.clip(-1, 1) * 32767).astype("<i2").tobytes())

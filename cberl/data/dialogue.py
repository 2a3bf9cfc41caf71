"""What a labelled conversation is before any encoder has seen it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """Where an utterance can be heard and seen: a stretch of a media file."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None  # None = to the end of the file
    channel: int | None = None  # from 1; None = all channels mixed


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance of a corpus. `label` indexes the corpus's label set, or is `UNLABELLED`.

    `prosody` holds what the audio encoder described: the eight raw numbers of `cberl.encoders.prosody`, and more where
    it gives more (NaN = could not be measured); None = no audio. `face` is what the visual encoder made of the
    pictures; None = nobody to be seen. `clip` is the recording itself, where a corpus has it: `cberl.data.clips`
    describes it. `text` is empty where nothing was transcribed.
    """

    speaker: str
    text: str
    label: int
    start_s: float
    end_s: float
    prosody: NDArray[np.float32] | None = None
    clip: Clip | None = None
    face: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Lines in the order in which they were spoken."""

    id: str
    lines: tuple[Line, ...]


class DataError(ValueError):
    """A corpus on disk is not what its layout says. The message names the file and the line."""


def held_out(ids: Iterable[str], share: float, seed: int = 0) -> set[str]:
    """About `share` of the ids, at least one of two or more: the same ones on every machine, in any order of `ids`."""

    def draw(one: str) -> bytes:
        return hashlib.sha256(f"{seed}/{one}".encode()).digest()

    drawn = sorted(set(ids), key=draw)
    count = max(round(share * len(drawn)), 1) if len(drawn) > 1 else 0
    return set(drawn[:count])

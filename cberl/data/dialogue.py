"""A labelled conversation before encoding."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cberl.errors import CberlError
from cberl.types import Float32

UNLABELLED = -1
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """The recording of an utterance: a span of a media file."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None  # None = to the end of the file
    channel: int | None = None  # from 1; None = all channels mixed


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance of a corpus. `label` indexes the corpus's label set, or is `UNLABELLED`.

    prosody: raw features of the audio encoder, the eight of `cberl.encoders.prosody` first (NaN = could not be
    measured); None = no audio. face: the visual encoder's vector; None = no face. clip: the recording, if the corpus
    has it; `cberl.data.clips` computes the other two from it. text: "" = not transcribed. shares: how annotators divide
    over the label set, or labels that hold at once; sum 1; None = nothing is known beside `label`.
    """

    speaker: str
    text: str
    label: int
    start_s: float
    end_s: float
    prosody: Float32 | None = None
    clip: Clip | None = None
    face: Float32 | None = None
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Lines in the order spoken."""

    id: str
    lines: tuple[Line, ...]


class DataError(CberlError, ValueError):
    """A corpus on disk cannot be read, or lacks what is asked of it. The message names the file and the line."""


def held_out(ids: Iterable[str], share: float, seed: int = 0) -> set[str]:
    """About `share` of the ids, at least one if there are two. The same ones on every machine and in any order."""

    def draw(one: str) -> bytes:
        return hashlib.sha256(f"{seed}/{one}".encode()).digest()

    drawn = sorted(set(ids), key=draw)
    count = max(round(share * len(drawn)), 1) if len(drawn) > 1 else 0
    return set(drawn[:count])


def shares_of(counts: Sequence[float]) -> tuple[float, ...] | None:
    """Votes by class as shares; None without votes. Raises ValueError for a number below 0."""
    if min(counts, default=0.0) < 0:
        raise ValueError(f"votes below 0: {counts}")
    total = sum(counts)
    return tuple(count / total for count in counts) if total else None

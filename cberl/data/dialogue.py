"""What a labelled conversation is before any encoder has seen it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance of a corpus. `label` indexes the corpus's label set, or is `UNLABELLED`.

    `prosody` holds the eight raw numbers of `cberl.encoders.prosody` (NaN = could not be measured), or None = no audio.
    """

    speaker: str
    text: str
    label: int
    start_s: float
    end_s: float
    prosody: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Lines in the order in which they were spoken."""

    id: str
    lines: tuple[Line, ...]


class DataError(ValueError):
    """A corpus on disk is not what its layout says. The message names the file and the line."""

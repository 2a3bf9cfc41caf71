"""What a visual encoder has to offer, and the one that sees nothing."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.frames import Float32


class VisualEncoder(Protocol):
    """From the sampled frames of one turn to numbers, without memory: safe to share between conversations."""

    @property
    def dim(self) -> int:
        """Length of what `describe` gives."""
        ...

    def describe(self, frames: Sequence[NDArray[np.uint8]]) -> Float32 | None:
        """float32[dim] of RGB frames uint8[h, w, 3]; None where there is no face to read."""
        ...


class NoVisual:
    """No visual modality: always absent (None), which the model treats as unseen. Never a face of zeros."""

    dim = 0

    def describe(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        return None

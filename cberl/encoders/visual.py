"""What a visual encoder has to offer, the one that reads faces, and the one that sees nothing."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import FaceDetector, find_face
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


class FaceVisual:
    """The expression of the face in a turn's frames: at most `max_frames` of them, evenly spread, pooled by quality."""

    def __init__(self, detector: FaceDetector, expression: ExpressionEncoder, *, max_frames: int = 8) -> None:
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, not {max_frames}")
        self._detector = detector
        self._expression = expression
        self._max_frames = max_frames
        self.dim = expression.dim

    def describe(self, frames: Sequence[NDArray[np.uint8]]) -> Float32 | None:
        """float32[71]: the mean vector (64) and the mean probabilities (MELD's 7), better views counting more."""
        if len(frames) > self._max_frames:
            at = np.linspace(0, len(frames) - 1, self._max_frames).round().astype(int)
            frames = [frames[i] for i in at]
        faces = [face for frame in frames if (face := find_face(self._detector, frame)) is not None]
        if not faces:
            return None
        vectors, probabilities = self._expression.encode(np.stack([face.pixels for face in faces]))
        weight = np.array([face.quality for face in faces], np.float32) + 1e-6  # all blurred: an even mean
        pooled: Float32 = (weight / weight.sum()) @ np.concatenate([vectors, probabilities], axis=1)
        return pooled

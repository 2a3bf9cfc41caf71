"""What a visual encoder has to offer, the one that reads faces, and the one that sees nothing."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import Box, FaceDetector, cut_out, find_boxes
from cberl.encoders.face_track import follow
from cberl.encoders.frames import Float32
from cberl.encoders.log_ratio import EVIDENCE_DIM, evidence

SEARCHED = 1024  # frames whose boxes are known still; the frames themselves are not kept

Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VisualEncoderConfig:
    """What a checkpoint must remember of its visual encoder; `dataclasses.asdict` of it is plain JSON and back."""

    expression_sha256: str  # of the expression network's files
    max_frames: int = 8  # a turn

    def __post_init__(self) -> None:
        if self.max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, not {self.max_frames}")


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a turn's frames show: `vector` float32[dim]; `quality` in 0..1, how well it could be seen."""

    vector: Float32
    quality: float


class VisualEncoder(Protocol):
    """From the sampled frames of one turn to numbers, without memory: safe to share between conversations."""

    @property
    def dim(self) -> int:
        """Length of the vector that `describe` gives."""
        ...

    def describe(self, frames: Sequence[Frame]) -> Seen | None:
        """What RGB frames uint8[h, w, 3] show; None where there is no face to read."""
        ...


class NoVisual:
    """No visual modality: always absent (None), which the model treats as unseen. Never a face of zeros."""

    dim = 0

    def describe(self, frames: Sequence[Frame]) -> None:
        return None


class FaceVisual:
    """The expression of one face in a turn's frames: at most `max_frames` of them, evenly spread, pooled by quality.

    A frame is searched for faces once, however often its turn is described while it goes on.
    """

    dim = EVIDENCE_DIM

    def __init__(self, detector: FaceDetector, expression: ExpressionEncoder, config: VisualEncoderConfig) -> None:
        self._detector = detector
        self._expression = expression
        self._max_frames = config.max_frames
        self._searched: OrderedDict[int, tuple[ReferenceType[Frame], list[Box]]] = OrderedDict()  # by identity

    def describe(self, frames: Sequence[Frame]) -> Seen | None:
        """The `evidence` of the mean probabilities, and the mean quality; better views count more in both."""
        if len(frames) > self._max_frames:
            at = np.linspace(0, len(frames) - 1, self._max_frames).round().astype(int)
            frames = [frames[i] for i in at]
        sizes = [(frame.shape[1], frame.shape[0]) for frame in frames]
        boxes = follow([self._boxes(frame) for frame in frames], sizes)
        faces = [cut_out(frame, box) for frame, box in zip(frames, boxes, strict=True) if box is not None]
        if not faces:
            return None
        _, probabilities = self._expression.encode(np.stack([face.pixels for face in faces]))
        quality = np.array([face.quality for face in faces], np.float32)
        weight = (quality + 1e-6) / (quality + 1e-6).sum()  # all blurred: an even mean
        return Seen(evidence(weight @ probabilities), float(weight @ quality))

    def _boxes(self, frame: Frame) -> list[Box]:
        reference, boxes = self._searched.pop(id(frame), (None, []))
        if reference is None or reference() is not frame:  # or another that had its place in memory
            reference, boxes = ref(frame), find_boxes(self._detector, frame)
        self._searched[id(frame)] = reference, boxes
        if len(self._searched) > SEARCHED:
            self._searched.popitem(last=False)
        return boxes

"""Visual encoders: facial expression, and none. The frames of a turn are sampled by `cberl.data.pictures` or live."""

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
from cberl.encoders.log_ratio import SCORES_DIM, log_ratio_scores
from cberl.types import Float32

CACHED_FRAMES = 1024  # whose boxes are kept; the frames themselves are not

Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VisualEncoderConfig:
    """What a checkpoint stores of its visual encoder; `dataclasses.asdict` of it is plain JSON and back."""

    expression_sha256: str  # of the expression network's files
    max_frames: int = 8  # that are searched for faces, per turn

    def __post_init__(self) -> None:
        if self.max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, not {self.max_frames}")


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The expression in a turn's frames: `vector` float32[dim]; `quality` of the face's pictures, 0..1."""

    vector: Float32
    quality: float


class VisualEncoder(Protocol):
    """From the sampled frames of one turn to a vector. Stateless: safe to share between conversations."""

    @property
    def dim(self) -> int:
        """Length of the vector of `describe`."""
        ...

    def describe(self, frames: Sequence[Frame]) -> Seen | None:
        """Of RGB frames uint8[h, w, 3]; None if no face is found."""
        ...


class NoVisual:
    """No visual modality: always None, which the model treats as absent."""

    dim = 0

    def describe(self, frames: Sequence[Frame]) -> None:
        return None


class FaceVisual:
    """The expression of one person in a turn's frames: at most `max_frames` of them, evenly spread, pooled by quality.

    Each frame is searched for faces once, however often its turn is described before it ends.
    """

    dim = SCORES_DIM

    def __init__(self, detector: FaceDetector, expression: ExpressionEncoder, config: VisualEncoderConfig) -> None:
        self._detector = detector
        self._expression = expression
        self._max_frames = config.max_frames
        self._found: OrderedDict[int, tuple[ReferenceType[Frame], list[Box]]] = OrderedDict()  # by id() of the frame

    def describe(self, frames: Sequence[Frame]) -> Seen | None:
        """`log_ratio_scores` of the mean probabilities, and the mean quality; both means are weighted by quality."""
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
        weight = (quality + 1e-6) / (quality + 1e-6).sum()  # an even mean if all qualities are 0
        return Seen(log_ratio_scores(weight @ probabilities), float(weight @ quality))

    def _boxes(self, frame: Frame) -> list[Box]:
        reference, boxes = self._found.pop(id(frame), (None, []))
        if reference is None or reference() is not frame:  # a new frame may have the id of one that is gone
            reference, boxes = ref(frame), find_boxes(self._detector, frame)
        self._found[id(frame)] = reference, boxes
        if len(self._found) > CACHED_FRAMES:
            self._found.popitem(last=False)
        return boxes

"""A turn's frames to one vector: absence, pooling, bounds, and real faces."""

from pathlib import Path

import av
import numpy as np
import pytest

from cberl.checkpoint import WEIGHTS
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import Box, CascadeDetector, YuNetDetector, find_face
from cberl.encoders.visual import FaceVisual, NoVisual, VisualEncoder
from cberl.labels import MELD


@pytest.fixture(scope="module")
def expression() -> ExpressionEncoder:
    return ExpressionEncoder(WEIGHTS / "expression")


@pytest.fixture(scope="module")
def video(shared: Path) -> list[np.ndarray]:
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


class Counting:
    """The whole frame is the face; a black frame has none."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def find(self, rgb: np.ndarray) -> list[Box]:
        self.seen.append(int(rgb[0, 0, 0]))
        return [Box(32, 32, 64, 1.0)] if rgb.any() else []


def textured(level: int, blur: int = 1) -> np.ndarray:
    """Noise in cells of `blur` pixels; the first pixel says which frame it is."""
    cells = np.random.default_rng(level).integers(1, 255, (64 // blur, 64 // blur), np.uint8)
    rgb = cells.repeat(blur, 0).repeat(blur, 1)[..., None].repeat(3, 2)
    rgb[0, 0] = level
    return rgb


def test_seeing_nothing_is_absence_and_not_zeros() -> None:
    encoder: VisualEncoder = NoVisual()
    assert encoder.dim == 0
    assert encoder.describe([]) is None
    assert encoder.describe([np.zeros((48, 48, 3), np.uint8)]) is None


def test_no_frames_and_no_face_are_none(expression: ExpressionEncoder) -> None:
    encoder: VisualEncoder = FaceVisual(CascadeDetector(), expression)
    assert encoder.describe([]) is None
    assert encoder.describe([np.zeros((360, 640, 3), np.uint8)] * 3) is None


def test_frames_without_a_face_do_not_count(expression: ExpressionEncoder) -> None:
    encoder, black = FaceVisual(Counting(), expression), np.zeros((64, 64, 3), np.uint8)
    alone = encoder.describe([textured(1)])
    assert alone is not None
    np.testing.assert_allclose(encoder.describe([black, textured(1), black]), alone, atol=1e-5)


def test_pooling_is_the_mean_by_quality(expression: ExpressionEncoder) -> None:
    frames = [textured(1), textured(2, blur=32)]  # the second is as good as featureless
    encoder, detector = FaceVisual(Counting(), expression), Counting()
    faces = [find_face(detector, frame) for frame in frames]
    quality = np.array([face.quality for face in faces if face is not None])
    one, two = (encoder.describe([frame]) for frame in frames)
    assert one is not None
    assert two is not None
    assert quality[1] < quality[0]
    expected = (quality[0] * one + quality[1] * two) / quality.sum()
    np.testing.assert_allclose(encoder.describe(frames), expected, atol=1e-4)


def test_a_long_turn_costs_no_more_than_its_share_of_frames(expression: ExpressionEncoder) -> None:
    detector = Counting()
    described = FaceVisual(detector, expression, max_frames=4).describe([textured(i) for i in range(1, 101)])
    assert described is not None
    assert detector.seen == [1, 34, 67, 100]
    with pytest.raises(ValueError, match="max_frames must be at least 1, not 0"):
        FaceVisual(detector, expression, max_frames=0)


def test_a_real_face_reads_alike_by_either_detector(
    expression: ExpressionEncoder, video: list[np.ndarray], shared: Path
) -> None:
    detectors = (CascadeDetector(), YuNetDetector(shared / "models/face_detection_yunet.onnx"))
    described = [FaceVisual(detector, expression).describe(video) for detector in detectors]
    for row in described:
        assert row is not None
        assert row.shape == (64 + len(MELD),)
        assert row[64:].sum() == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(described[0][:64], described[1][:64])[0, 1] > 0.5  # type: ignore[index]

"""From a turn's frames to one vector: absence, pooling, bounds, and real faces."""

from pathlib import Path

import av
import numpy as np
import pytest

from cberl.checkpoint import WEIGHTS
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import Box, CascadeDetector, YuNetDetector, cut_out, find_boxes
from cberl.encoders.log_ratio import log_ratio_scores
from cberl.encoders.visual import FaceVisual, NoVisual, Seen, VisualEncoder, VisualEncoderConfig
from cberl.labels import MELD


@pytest.fixture(scope="module")
def expression() -> ExpressionEncoder:
    return ExpressionEncoder(WEIGHTS / "expression")


CONFIG = VisualEncoderConfig(expression_sha256="")


def seen(encoder: VisualEncoder, frames: list[np.ndarray]) -> Seen:
    described = encoder.describe(frames)
    assert described is not None
    return described


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
    """Noise in cells of `blur` pixels; the first pixel identifies the frame."""
    cells = np.random.default_rng(level).integers(1, 255, (64 // blur, 64 // blur), np.uint8)
    rgb = cells.repeat(blur, 0).repeat(blur, 1)[..., None].repeat(3, 2)
    rgb[0, 0] = level
    return rgb


def test_without_a_visual_encoder_the_modality_is_absent() -> None:
    encoder: VisualEncoder = NoVisual()
    assert encoder.dim == 0
    assert encoder.describe([]) is None
    assert encoder.describe([np.zeros((48, 48, 3), np.uint8)]) is None


def test_without_frames_or_a_face_the_modality_is_absent(expression: ExpressionEncoder) -> None:
    encoder: VisualEncoder = FaceVisual(CascadeDetector(), expression, CONFIG)
    assert encoder.describe([]) is None
    assert encoder.describe([np.zeros((360, 640, 3), np.uint8)] * 3) is None


def test_frames_without_a_face_do_not_count(expression: ExpressionEncoder) -> None:
    encoder, black = FaceVisual(Counting(), expression, CONFIG), np.zeros((64, 64, 3), np.uint8)
    alone, between = seen(encoder, [textured(1)]), seen(encoder, [black, textured(1), black])
    np.testing.assert_allclose(between.vector, alone.vector, atol=1e-5)
    assert between.quality == pytest.approx(alone.quality)


def test_pooling_is_the_mean_by_quality(expression: ExpressionEncoder) -> None:
    frames = [textured(1), textured(2, blur=32)]  # the second has almost no texture
    encoder = FaceVisual(Counting(), expression, CONFIG)
    faces = [cut_out(frame, find_boxes(Counting(), frame)[0]) for frame in frames]
    _, probabilities = expression.encode(np.stack([face.pixels for face in faces]))
    quality = np.array([face.quality for face in faces])
    assert 0 < quality[1] < quality[0]
    pooled = seen(encoder, frames)
    np.testing.assert_allclose(pooled.vector, log_ratio_scores(quality / quality.sum() @ probabilities), atol=1e-4)
    assert pooled.quality == pytest.approx((quality**2).sum() / quality.sum(), rel=1e-4)


def test_of_a_long_turn_only_max_frames_are_searched(expression: ExpressionEncoder) -> None:
    detector = Counting()
    seen(FaceVisual(detector, expression, VisualEncoderConfig("", max_frames=4)), [textured(i) for i in range(1, 101)])
    assert detector.seen == [1, 34, 67, 100]
    with pytest.raises(ValueError, match="max_frames must be at least 1, not 0"):
        VisualEncoderConfig("", max_frames=0)


def test_each_picture_is_searched_once_however_often_its_turn_is_described(expression: ExpressionEncoder) -> None:
    """Thirty seconds of a camera at three pictures per second, described every second."""
    detector = Counting()
    encoder = FaceVisual(detector, expression, CONFIG)
    frames = [textured(i) for i in range(1, 91)]
    for count in range(3, 91, 3):
        seen(encoder, frames[:count])
    assert sorted(detector.seen) == sorted(set(detector.seen))
    again = [frame.copy() for frame in frames[:8]]
    seen(encoder, again)
    assert detector.seen[-8:] == list(range(1, 9))


def test_of_two_people_the_one_in_all_pictures_is_read(expression: ExpressionEncoder, video: list[np.ndarray]) -> None:
    """One picture of five shows another face at the side."""
    alone = [np.hstack([frame, np.zeros_like(frame)]) for frame in video[:5]]
    joined = [*alone[:2], np.hstack([video[2], np.ascontiguousarray(video[2][:, ::-1])]), *alone[3:]]
    encoder = FaceVisual(CascadeDetector(), expression, CONFIG)
    one, other = seen(encoder, alone), seen(encoder, joined)
    np.testing.assert_allclose(one.vector, other.vector, atol=1e-5)
    assert one.quality == pytest.approx(other.quality, abs=1e-5)


def test_both_detectors_give_similar_vectors_of_a_real_face(
    expression: ExpressionEncoder, video: list[np.ndarray], shared: Path
) -> None:
    detectors = (CascadeDetector(), YuNetDetector(shared / "models/face_detection_yunet.onnx"))
    described = [seen(FaceVisual(detector, expression, CONFIG), video) for detector in detectors]
    for one in described:
        assert one.vector.shape == (len(MELD),)
        assert one.vector.sum() == pytest.approx(0, abs=1e-4)
        assert 0.1 < one.quality <= 1
    assert np.corrcoef(described[0].vector, described[1].vector)[0, 1] > 0.5

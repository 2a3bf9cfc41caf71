"""Face detection and cropping: in a real video, and in pictures without a face."""

from pathlib import Path

import av
import numpy as np
import pytest

from cberl.encoders.face import (
    FACE_PX,
    Box,
    CascadeDetector,
    Face,
    FaceDetector,
    YuNetDetector,
    cut_out,
    find_boxes,
    open_detector,
    prominence,
)
from cberl.errors import EncoderError


def frames(path: Path, one_in: int) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::one_in]


@pytest.fixture(scope="module")
def video(shared: Path) -> list[np.ndarray]:
    return frames(shared / "data/faces/pyfeat_single_face.mp4", 24)


@pytest.fixture(scope="module")
def cascade() -> CascadeDetector:
    return CascadeDetector()


def yunet(shared: Path) -> YuNetDetector:
    return YuNetDetector(shared / "models/face_detection_yunet.onnx")


def find_face(detector: FaceDetector, rgb: np.ndarray) -> Face | None:
    """The most prominent face."""
    height, width, _ = rgb.shape
    box = max(find_boxes(detector, rgb), key=lambda box: prominence(box, width, height), default=None)
    return None if box is None else cut_out(rgb, box)


def test_both_detectors_find_the_same_face_in_every_frame(
    video: list[np.ndarray], cascade: CascadeDetector, shared: Path
) -> None:
    other: FaceDetector = yunet(shared)
    for rgb in video:
        ours, theirs = find_face(cascade, rgb), find_face(other, rgb)
        assert ours is not None
        assert theirs is not None
        assert ours.pixels.shape == theirs.pixels.shape == (FACE_PX, FACE_PX)
        off = max(abs(ours.box.centre_x - theirs.box.centre_x), abs(ours.box.centre_y - theirs.box.centre_y))
        assert off < 0.15 * ours.box.side
        assert 0.8 < ours.box.side / theirs.box.side < 1.25
        # The crops of both boxes show the same face.
        assert np.corrcoef(ours.pixels.ravel(), theirs.pixels.ravel())[0, 1] > 0.5


def test_no_face_is_none(cascade: CascadeDetector, shared: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (360, 640, 3))
    for detector in (cascade, yunet(shared)):
        for rgb in (noise, ramp, np.zeros((360, 640, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)):
            assert find_face(detector, rgb) is None


def test_a_blurred_or_small_face_has_a_lower_quality(video: list[np.ndarray], cascade: CascadeDetector) -> None:
    import cv2

    sharp = find_face(cascade, video[0])
    blurred = find_face(cascade, cv2.GaussianBlur(video[0], (0, 0), 6))
    small = find_face(cascade, cv2.resize(video[0], None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA))
    assert sharp is not None
    assert blurred is not None
    assert small is not None
    assert blurred.sharpness < sharp.sharpness / 2
    assert blurred.quality < sharp.quality / 2
    assert small.box.side == pytest.approx(sharp.box.side / 4, rel=0.2)
    assert small.quality < sharp.quality


class OneBox:
    def __init__(self, box: Box) -> None:
        self.box = box

    def find(self, rgb: np.ndarray) -> list[Box]:
        return [self.box]


def test_the_crop_matches_the_box_to_the_pixel_also_past_the_edge() -> None:
    rgb = np.zeros((200, 300, 3), np.uint8)
    rgb[50:146, 100:196] = np.repeat(np.repeat(np.arange(48 * 48).reshape(48, 48) % 251, 2, 0), 2, 1)[..., None]
    smooth = np.add.outer(np.arange(200), np.arange(300))[..., None].repeat(3, 2) // 2
    face = find_face(OneBox(Box(148, 98, 96, 1.0)), smooth.astype(np.uint8))
    assert face is not None
    expected = smooth[50:146, 100:196, 0].reshape(48, 2, 48, 2).mean(axis=(1, 3))  # (96, 96) -> 2x2 cells
    assert np.abs(face.pixels[3:-3, 3:-3] - expected[3:-3, 3:-3]).max() <= 1.0
    beyond = find_face(OneBox(Box(0, 0, 48, 1.0)), np.full((100, 100, 3), 77, np.uint8))
    assert beyond is not None
    assert (beyond.pixels == 77).all()


def test_the_largest_face_is_the_most_prominent_unless_it_is_at_the_edge() -> None:
    small, large, edge = Box(150, 100, 50, 0.9), Box(150, 100, 60, 0.5), Box(10, 100, 65, 0.9)
    assert max([small, edge, large], key=lambda box: prominence(box, 300, 200)) is large


def test_bad_input_is_one_sentence(cascade: CascadeDetector, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be RGB, uint8\[h, w, 3\], not float64\[4, 4, 3\]"):
        find_boxes(cascade, np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    file = tmp_path / "yunet.onnx"
    with pytest.raises(EncoderError, match=r"yunet.onnx is missing: --face-detector takes"):
        open_detector(file)
    file.write_bytes(b"not a network")
    with pytest.raises(EncoderError, match=r"yunet.onnx cannot be loaded as YuNet"):
        open_detector(file)

"""Faces are found and cropped as OpenCV does it, which is installed for tests only."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cberl.checkpoint_files import FACES, WEIGHTS
from cberl.encoders.cascade import Cascade
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import SCAN_PX, CascadeDetector, YuNetDetector, cut_out, find_boxes
from cberl.encoders.scaling import grey, scaled_down, square

CASCADE = FACES / "haarcascade_frontalface_default.xml"
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[np.ndarray]:
    """RGB: a face at several sizes, at the edge, mirrored, twice, and none."""
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        video = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::8]
    mirrored = np.ascontiguousarray(video[1][:, ::-1])
    sizes = [cv2.resize(video[2], size, interpolation=cv2.INTER_AREA) for size in ((500, 281), (320, 180), (201, 333))]
    return [*video, mirrored, np.hstack([video[0], mirrored]), np.ascontiguousarray(video[3][90:, 180:500]), *sizes]


def noise(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def opencv_scaled_down(rgb: np.ndarray) -> np.ndarray:
    scale = SCAN_PX / max(rgb.shape[:2])
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    return rgb if scale >= 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def opencv_crop(rgb: np.ndarray, left: float, top: float, side: float) -> np.ndarray:
    shrink = side / 48
    picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if shrink > 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 * shrink)
    matrix = np.array([[shrink, 0, left + shrink / 2 - 0.5], [0, shrink, top + shrink / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (48, 48), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def differ(ours: np.ndarray, theirs: np.ndarray) -> int:
    return int(np.abs(ours.astype(int) - theirs).max())


def test_grey_scaled_and_cropped_pictures_differ_by_two_levels_at_most() -> None:
    for height, width in ((360, 640), (640, 427), (333, 501), (48, 2000), (24, 24)):
        rgb = noise(height, width)
        assert differ(grey(rgb), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) <= 1
        assert differ(scaled_down(rgb, SCAN_PX)[0], opencv_scaled_down(rgb)) <= 1
    smooth = cv2.GaussianBlur(noise(300, 400), (0, 0), 4) * 3  # noise itself shows OpenCV's steps of 1/32 pixel
    for left, top, side in ((100, 50, 96), (10.3, 20.7, 200.4), (-20, -10, 70), (380, 280, 60), (40, 40, 24)):
        ours = square(grey(smooth), left, top, side, 48)
        assert differ(ours, opencv_crop(smooth, left, top, side)) <= (6 if side < 48 else 3)


def test_the_cascade_finds_the_squares_that_opencv_finds(pictures: list[np.ndarray]) -> None:
    ours, theirs = Cascade(CASCADE), cv2.CascadeClassifier(str(CASCADE))
    found = 0
    blurred = [cv2.GaussianBlur(noise(240, 320), (0, 0), sigma) * 3 for sigma in (1, 2, 3, 5, 8)]
    for rgb in [*pictures, *blurred, noise(100, 200), np.zeros((60, 60, 3), np.uint8), noise(24, 24), noise(10, 10)]:
        picture = cv2.cvtColor(opencv_scaled_down(rgb), cv2.COLOR_RGB2GRAY)
        boxes, _, sums = theirs.detectMultiScale3(picture, 1.1, 4, minSize=(24, 24), outputRejectLevels=True)
        expected = {tuple(map(int, box[:3])): float(it) for box, it in zip(boxes, np.ravel(sums), strict=True)}
        got = {(it.x, it.y, it.side): it.sum for it in ours.find(picture)}
        assert got == pytest.approx(expected, abs=1e-3)
        found += len(got)
    assert found >= 10


def test_yunet_finds_the_boxes_that_opencv_finds(pictures: list[np.ndarray], shared: Path) -> None:
    """In a picture of the size that the file declares: OpenCV changes the network to other sizes."""
    file = shared / "models/face_detection_yunet.onnx"
    ours, theirs = YuNetDetector(file), cv2.FaceDetectorYN.create(str(file), "", (640, 640), 0.6)
    for rgb in pictures:
        small, scale = scaled_down(rgb, SCAN_PX)
        height, width, _ = small.shape
        padded = cv2.copyMakeBorder(small, 0, 640 - height, 0, 640 - width, cv2.BORDER_CONSTANT)
        _, rows = theirs.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
        x, y, w, h, *_, score = (np.zeros((0, 15)) if rows is None else rows).T
        got = [(it.centre_x * scale, it.centre_y * scale, it.side * scale, it.score) for it in ours.find(rgb)]
        expected = np.stack([x + w / 2, y + h / 2, np.maximum(w, h), score], axis=1)
        np.testing.assert_allclose(np.reshape(got, (-1, 4)), expected, atol=0.01)


def test_the_expression_of_a_crop_is_that_of_opencvs_crop(pictures: list[np.ndarray]) -> None:
    expression, detector = ExpressionEncoder(WEIGHTS / "expression"), CascadeDetector()
    for rgb in pictures:
        for box in find_boxes(detector, rgb):
            theirs = opencv_crop(rgb, box.centre_x - box.side / 2, box.centre_y - box.side / 2, box.side)
            _, probabilities = expression.encode(np.stack([cut_out(rgb, box).pixels, theirs]))
            np.testing.assert_allclose(*probabilities, atol=0.02)

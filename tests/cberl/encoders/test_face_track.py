"""Which of several people is chosen in the pictures of a turn."""

import numpy as np

from cberl.encoders.face import Box
from cberl.encoders.face_track import follow

SIZE = (640, 360)


def face(x: float, y: float = 180.0, side: float = 100.0) -> Box:
    return Box(x, y, side, 0.9)


def test_one_of_two_is_chosen_although_the_other_is_sometimes_larger() -> None:
    rng = np.random.default_rng(0)
    speaker = [face(200 + 3 * n, side=100 + rng.uniform(-10, 10)) for n in range(8)]
    other = [face(480, side=90 + 25 * (n % 3 == 0)) for n in range(8)]
    found = [[one, two] if n % 2 else [two, one] for n, (one, two) in enumerate(zip(speaker, other, strict=True))]
    assert follow(found, [SIZE] * 8) == speaker


def test_somebody_who_passes_close_to_the_camera_is_not_chosen() -> None:
    speaker = [face(300) for _ in range(8)]
    found = [[one] for one in speaker]
    found[3].append(face(500, side=150))
    found[4] = [face(520, side=160)]  # and hides the other
    wanted = [*speaker[:4], None, *speaker[5:]]
    assert follow(found, [SIZE] * 8) == wanted


def test_two_people_who_cross_are_not_confused() -> None:
    left = [face(100 + 60 * n, y=150, side=110) for n in range(8)]
    right = [face(540 - 60 * n, y=250, side=80) for n in range(8)]
    assert follow([list(pair) for pair in zip(right, left, strict=True)], [SIZE] * 8) == left


def test_a_face_is_tracked_through_pictures_of_different_sizes() -> None:
    found = [[face(320), face(500, side=90)], [Box(160, 90, 50, 0.9), Box(250, 90, 45, 0.9)]]
    assert follow(found, [SIZE, (320, 180)]) == [found[0][0], found[1][0]]


def test_pictures_without_faces_have_no_box() -> None:
    assert follow([], []) == []
    assert follow([[], []], [SIZE] * 2) == [None, None]

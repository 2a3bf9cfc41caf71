"""What is kept of a camera: what a turn may need, and never too much."""

import numpy as np

from cberl.data.pictures import MAX_PICTURES
from engine.media import Track, VideoFrame
from engine.speech.frame_buffer import FrameBuffer

ANN = Track("a", "ann")


def frames(*times_s: float) -> list[VideoFrame]:
    return [VideoFrame(ANN, at_s, np.zeros((2, 2, 3), np.uint8)) for at_s in times_s]


def times(sight: FrameBuffer, start_s: float, end_s: float) -> list[float]:
    return [frame.at_s for frame in sight.between(start_s, end_s)]


def test_a_turn_gets_the_frames_from_its_start_to_its_end() -> None:
    sight = FrameBuffer()
    sight.push(frames(0.0, 1.0, 2.0, 3.0))
    assert times(sight, 1.0, 2.5) == [1.0, 2.0]
    sight.forget_before(2.0)
    assert times(sight, 0.0, 9.0) == [2.0, 3.0]


def test_frames_cover_a_long_turn_in_bounded_memory() -> None:
    sight = FrameBuffer()
    for number in range(1000):
        sight.push(frames(number / 3))
        assert len(times(sight, 0.0, 1e9)) <= MAX_PICTURES
    kept = times(sight, 0.0, 1e9)
    assert kept[0] == 0.0
    assert kept[-1] > 330
    assert len(kept) > MAX_PICTURES / 2 - 1

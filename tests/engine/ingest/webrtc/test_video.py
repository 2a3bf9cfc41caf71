"""Video of a peer within limits: real frames of VP8 and H.264, decoded as aiortc does."""

import struct
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

from engine.ingest.webrtc.video import MAX_PIXELS, MAX_WAITING, BoundedDecoder, BoundedFrame, VideoBuffer, is_key_frame
from testing.clock import HandClock

ENCODERS = {
    "vp8": ("libvpx", {"deadline": "realtime", "lag-in-frames": "0"}),
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
}
HUGE = (16_383, 16_383)


def encoded(codec: str, width: int, height: int, number: int = 1) -> list[bytes]:
    name, options = ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 30)
    encoder.options = options
    packets = []
    for at in range(number):
        frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 9 * at + 80, np.uint8), format="yuv420p")
        frame.pts = at
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def huge(codec: str) -> bytes:
    """A key frame of few bytes: in VP8 by the size in its header, in H.264 encoded with it."""
    if codec == "h264":
        return encoded(codec, 8192, 4096)[0]
    small = encoded(codec, 64, 64)[0]
    return small[:6] + struct.pack("<HH", *HUGE) + small[10:]


def decoded(decoder: BoundedDecoder, data: bytes, *, kept: bool = True) -> list[av.VideoFrame]:
    times: list[float] = []
    try:
        return decoder.decode(BoundedFrame(JitterFrame(data, 0), times.append, kept=kept))
    finally:
        assert len(times) == 1


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_huge_picture_is_refused_before_it_is_decoded_and_the_next_one_is_shown(codec: str) -> None:
    decoder = BoundedDecoder(codec)
    data = huge(codec)
    began_s = time.thread_time()
    with pytest.raises(av.FFmpegError):
        decoded(decoder, data)
    assert time.thread_time() - began_s < 0.1  # libvpx takes 5 s
    largest = decoded(decoder, encoded(codec, 3840, 2160)[0])[0]
    assert largest.width * largest.height == MAX_PIXELS


@pytest.mark.parametrize("codec", ENCODERS)
def test_only_kept_pictures_leave_the_decoder_and_all_are_decoded(codec: str) -> None:
    decoder = BoundedDecoder(codec)
    packets = encoded(codec, 64, 48, number=6)
    assert [is_key_frame(data) for data in packets] == [True] + [False] * 5
    shown = [decoded(decoder, data, kept=at == 5) for at, data in enumerate(packets)]
    assert [len(frames) for frames in shown] == [0] * 5 + [1]
    assert abs(float(shown[5][0].to_ndarray(format="gray").mean()) - (9 * 5 + 80 - 16) * 255 / 219) < 4


def packets_of(frames: list[bytes]) -> list[RtpPacket]:
    """One packet each. aiortc returns a frame when the next one begins."""
    packets = []
    for number, data in enumerate(frames):
        packet = RtpPacket(sequence_number=number, timestamp=3000 * number)
        packet._data = data  # type: ignore[attr-defined]
        packets.append(packet)
    return packets


class Decoding:
    """Charged by a buffer. `wait_s` is its answer."""

    def __init__(self) -> None:
        self.charged_s = 0.0
        self.wait_s = 0.0

    def __call__(self, took_s: float) -> float:
        self.charged_s += took_s
        return self.wait_s


def test_video_that_costs_too_much_is_left_out_until_a_key_frame_after_the_pause() -> None:
    key, *rest = encoded("vp8", 64, 64, number=3)
    decoding, hand = Decoding(), HandClock()
    buffer = VideoBuffer(3.0, decoding, hand)
    answers = []
    for number, packet in enumerate(packets_of([key, *rest, rest[0], rest[0], key, rest[0], rest[0]])):
        decoding.wait_s = 1.0 if number == 3 else 0.0
        asked, frame = buffer.add(packet)
        answers.append((asked, frame and frame.data))
        if isinstance(frame, BoundedFrame):
            frame.decoded(0.25)
        hand.time += 0.2
    passed = [(False, data) for data in (key, rest[0])]
    assert answers == [
        (False, None), *passed, (False, None), (True, None), (True, None), (False, key), (False, rest[0])
    ]  # fmt: skip
    assert (buffer.left_out, decoding.charged_s) == (3, 0.75)


def test_frames_that_wait_for_the_decoder_are_bounded_and_pictures_are_kept_by_the_clock() -> None:
    key = encoded("vp8", 64, 64)[0]
    hand = HandClock()
    buffer = VideoBuffer(3.0, Decoding(), hand)
    waiting = []
    for packet in packets_of([key] * (MAX_WAITING + 10)):
        _, frame = buffer.add(packet)
        if isinstance(frame, BoundedFrame):
            waiting.append(frame)
        hand.time += 1 / 30
    assert len(waiting) == MAX_WAITING
    assert sum(frame.kept for frame in waiting) == 3

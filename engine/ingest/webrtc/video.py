"""Limits of a peer's video: the size of a picture, the time that its decoding takes, and how many are kept.

VideoBuffer (event loop) ── BoundedFrame ──► aiortc's queue ──► BoundedDecoder (aiortc's thread)
        ▲                                                              │
        └──────────────────────── time taken ──────────────────────────┘
"""

import time
from collections.abc import Callable
from typing import Any

import av
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.mediastreams import VIDEO_TIME_BASE
from aiortc.rtp import RtpPacket

from engine.ingest.arrival import FrameSampler
from engine.runtime.clocks import Clock

MAX_PIXELS = 3840 * 2160
CAPACITY = 512  # packets, as in aiortc
MAX_WAITING = 30  # frames that wait for the decoder
START_CODE = b"\x00\x00\x01"  # of each unit of H.264, in the byte stream format
IDR = 5  # the type of unit that needs no earlier picture

ChargeDecoding = Callable[[float], float]  # called with seconds of decoding; returns after how many it may go on


class BoundedFrame(JitterFrame):
    """An encoded frame. `kept`: its picture is used; others are decoded because later ones depend on them."""

    def __init__(self, frame: JitterFrame, decoded: Callable[[float], None], *, kept: bool) -> None:
        super().__init__(frame.data, frame.timestamp)
        self.decoded = decoded  # to be called with the time that it took
        self.kept = kept


class BoundedDecoder:
    """What aiortc calls to decode video, in a thread. `codec` is a decoder of FFmpeg.

    Only FFmpeg's own decoders check the size before they decode: libvpx takes seconds and a gigabyte for a packet of 33
    bytes that says 16383 x 16383.
    """

    def __init__(self, codec: str) -> None:
        self._codec = av.CodecContext.create(codec, "r")
        self._codec.options = {"max_pixels": str(MAX_PIXELS)}
        self._codec.thread_count = 1  # so that the time of this thread is all that it takes

    def decode(self, encoded_frame: JitterFrame) -> list[Any]:
        """Pictures. Raises av.FFmpegError, after which aiortc requests a key frame."""
        assert isinstance(encoded_frame, BoundedFrame)
        packet = av.Packet(encoded_frame.data)
        packet.pts, packet.time_base = encoded_frame.timestamp, VIDEO_TIME_BASE
        began_s = time.thread_time()
        try:
            pictures: list[Any] = self._codec.decode(packet)
        finally:
            encoded_frame.decoded(time.thread_time() - began_s)
        return pictures if encoded_frame.kept else []


class VideoBuffer:
    """Puts packets of video in order. Frames beyond the limits are left out, and with them all until a key frame.

    `fps`: pictures per second that are kept.
    """

    def __init__(self, fps: float, charge: ChargeDecoding, now: Clock = time.monotonic) -> None:
        self.left_out = 0  # frames
        self._packets = JitterBuffer(CAPACITY, is_video=True)
        self._sampler = FrameSampler(fps)
        self._charge = charge
        self._now = now
        self._begun = 0
        self._ended, self._decoding_s = 0, 0.0  # written by the decoder's thread alone
        self._charged_s = 0.0
        self._broken = False

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Called by aiortc: (whether to request a key frame, the next frame to decode)."""
        key_needed, frame = self._packets.add(packet)
        if frame is None:
            return key_needed, None
        decoding_s = self._decoding_s
        wait_s, self._charged_s = self._charge(decoding_s - self._charged_s), decoding_s
        over = wait_s > 0 or self._begun - self._ended >= MAX_WAITING
        self._broken = over or (self._broken and not is_key_frame(frame.data))
        if self._broken:
            self.left_out += 1
            return key_needed or not over, None
        self._begun += 1
        return key_needed, BoundedFrame(frame, self._decoded, kept=self._sampler.wants(self._now()))

    def _decoded(self, took_s: float) -> None:
        self._decoding_s += took_s
        self._ended += 1


class Unused:
    """In place of the buffer of a track that is not used."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        return False, None


def is_key_frame(data: bytes) -> bool:
    """Of VP8 (RFC 6386, section 9.1) or H.264, whose units aiortc begins with start codes."""
    if data[3:6] == b"\x9d\x01\x2a":
        return not data[0] & 1
    at = data.find(START_CODE)
    while 0 <= at < len(data) - len(START_CODE):
        if data[at + len(START_CODE)] & 0x1F == IDR:
            return True
        at = data.find(START_CODE, at + len(START_CODE))
    return False

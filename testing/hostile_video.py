"""WebRTC video that is small to send and expensive to decode."""

import asyncio
import struct
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

FPS = 30


class HugePictures(MediaStreamTrack):
    """Key frames of VP8 that say 16383 x 16383, 33 bytes each. libvpx decodes one in 5 s, with 900 MB."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        encoder = av.CodecContext.create("libvpx", "w")
        encoder.width = encoder.height = 64
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, FPS)
        packets = encoder.encode(av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p"))
        small = bytes([*packets, *encoder.encode(None)][0])
        self._data = small[:6] + struct.pack("<HH", 16_383, 16_383) + small[10:]
        self.sent = 0

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(1 / FPS)
        packet = av.Packet(self._data)
        packet.pts, packet.time_base = self.sent * 90_000 // FPS, Fraction(1, 90_000)
        self.sent += 1
        return packet

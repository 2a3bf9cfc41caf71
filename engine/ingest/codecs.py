"""The payloads of a publisher's frames: decoders of audio, and the limits of a JPEG. No sockets."""

from collections.abc import Callable

import av
import numpy as np

from cberl.data.resampling import MonoPcm
from cberl.types import SAMPLE_RATE

PCM = {"pcm_s16le": ("<i2", "s16"), "pcm_f32le": ("<f4", "flt")}
AUDIO_CODECS = (*PCM, "opus")
OPUS_RATE = 48_000  # Hz, of all Opus streams (RFC 7587, section 4.1)

MAX_PIXELS = 4096 * 4096
MAX_SCANS = 32  # of a JPEG; that of a preview in its header counts, too

JPEG_START_OF_FRAME = {bytes([code]) for code in range(0xC0, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
JPEG_WITHOUT_SEGMENT = {bytes([code]) for code in (0x01, *range(0xD0, 0xD8))}  # TEM, RST0 to RST7
JPEG_SCAN = b"\xff\xda"
JPEG_NOT_BEFORE_FRAME = {b"\x00", b"\xd8", b"\xd9", b"\xda", b""}  # no marker, SOI, EOI, SOS, the end of the payload

Decode = Callable[[bytes], av.AudioFrame | MonoPcm | None]  # None where it has no samples. Raises PayloadError.


class PayloadError(ValueError):
    """A payload is not of its track's codec. The message is one sentence."""

    def __init__(self, message: str, code: str = "bad_payload") -> None:
        super().__init__(message)
        self.code = code


def audio_decoder(codec: str, sample_rate: int) -> Decode:
    """A new decoder, for one track: an Opus decoder depends on the packets before."""
    return _opus() if codec == "opus" else _pcm(codec, sample_rate)


def check_jpeg(payload: bytes) -> None:
    """Raises PayloadError for a picture that is not a JPEG, or one that would cost too much to decode."""
    width, height = jpeg_size(payload)
    if not 0 < width * height <= MAX_PIXELS:
        raise PayloadError(f"A picture has at most {MAX_PIXELS} pixels, not {width} x {height}.", code="too_large")
    # Every scan of a progressive picture goes through all of its pixels, however few bytes it has. Encoders write 10.
    if (scans := payload.count(JPEG_SCAN)) > MAX_SCANS:
        raise PayloadError(f"A picture has at most {MAX_SCANS} scans, not {scans}.", code="too_large")


def jpeg_size(payload: bytes) -> tuple[int, int]:
    """(width, height) from the header of a JPEG, so that a huge picture is not decoded. Raises PayloadError.

    Reads markers as decoders do (ITU-T T.81, B.1.1): fill bytes may precede one, and some have no segment. Raises where
    a decoder might find another size.
    """
    at = 2
    if payload[:2] == b"\xff\xd8":
        while at < len(payload) and payload[at] == 0xFF:
            while payload[at : at + 1] == b"\xff":  # the marker's first byte and any number of fill bytes
                at += 1
            marker, length = payload[at : at + 1], int.from_bytes(payload[at + 1 : at + 3])
            if marker in JPEG_START_OF_FRAME and at + 8 <= len(payload):
                return int.from_bytes(payload[at + 6 : at + 8]), int.from_bytes(payload[at + 4 : at + 6])
            if marker in JPEG_WITHOUT_SEGMENT:
                at += 1
            elif marker in JPEG_NOT_BEFORE_FRAME or length < 2:
                break
            else:
                at += 1 + length
    raise PayloadError("The payload is no JPEG picture.")


def _pcm(codec: str, sample_rate: int) -> Decode:
    dtype, form = PCM[codec]
    width = np.dtype(dtype).itemsize
    scale = np.float32(1 if form == "flt" else 2**-15)  # as FFmpeg's

    def decode(payload: bytes) -> av.AudioFrame | MonoPcm | None:
        if len(payload) % width:
            problem = f"A payload of {len(payload)} bytes is not whole samples of {width} bytes."
            raise PayloadError(problem, code="truncated_frame")
        samples = np.frombuffer(payload, dtype)[None]  # (1, n)
        if form == "flt":
            if not np.isfinite(samples).all():
                raise PayloadError("A sample is not a finite number.")
            samples = np.clip(samples, -1, 1)
        if not payload:
            return None
        if sample_rate == SAMPLE_RATE:
            return MonoPcm(np.multiply(samples[0], scale, dtype=np.float32))
        frame = av.AudioFrame.from_ndarray(samples, format=form, layout="mono")
        frame.sample_rate = sample_rate
        return frame

    return decode


def _opus() -> Decode:
    decoder = av.CodecContext.create("libopus", "r")
    decoder.layout, decoder.sample_rate = "mono", OPUS_RATE

    def decode(payload: bytes) -> av.AudioFrame | None:
        if not payload:
            return None
        try:
            frames = decoder.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise PayloadError("The payload is no Opus packet.") from error
        return frames[0] if frames else None

    return decode

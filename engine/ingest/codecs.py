"""What a publisher's payloads hold: a codec's bytes in, decoded sound or the size of a picture out. No sockets."""

from collections.abc import Callable

import av
import numpy as np

PCM = {"pcm_s16le": ("<i2", "s16"), "pcm_f32le": ("<f4", "flt")}
AUDIO_CODECS = (*PCM, "opus")
OPUS_RATE = 48_000  # of Opus, whatever the microphone had (RFC 7587, section 4.1)

Decode = Callable[[bytes], av.AudioFrame | None]  # None: no samples in it. Raises PayloadError.


class PayloadError(ValueError):
    """These bytes are not of the track's codec, in one sentence."""

    def __init__(self, message: str, code: str = "bad_payload") -> None:
        super().__init__(message)
        self.code = code


def audio_decoder(codec: str, sample_rate: int) -> Decode:
    """A decoder of its own for one track: Opus remembers what came before."""
    return _opus() if codec == "opus" else _pcm(codec, sample_rate)


def jpeg_size(payload: bytes) -> tuple[int, int]:
    """(width, height) as a JPEG's header says, so that nothing huge is decoded. Raises PayloadError."""
    at = 2
    if payload[:2] == b"\xff\xd8":
        while at + 9 <= len(payload) and payload[at] == 0xFF:
            marker, length = payload[at + 1], int.from_bytes(payload[at + 2 : at + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
                return int.from_bytes(payload[at + 7 : at + 9]), int.from_bytes(payload[at + 5 : at + 7])
            at += 2 + length
    raise PayloadError("The payload is no JPEG picture.")


def _pcm(codec: str, sample_rate: int) -> Decode:
    dtype, form = PCM[codec]
    width = np.dtype(dtype).itemsize

    def decode(payload: bytes) -> av.AudioFrame | None:
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

"""Audio samples of several types, converted to 16-bit little-endian pieces with their media time."""

import math
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

from cberl_client.errors import ClientError

PIECE_S = 0.1
_INT16, _FLOATS, _BYTES = ("h", "<h", "=h", "@h"), ("f", "<f", "d", "<d"), ("B", "b", "c")

Pcm = Any  # bytes of pcm_s16le, or a one-dimensional array of int16, or of floats in -1..1


def pieces(pcm: Pcm, start_s: float, sample_rate: int) -> Iterator[tuple[float, bytes]]:
    """Pairs of media time in seconds and pcm_s16le bytes of 0.1 s each, converted lazily. Accepts NumPy arrays.

    Raises ClientError where `pcm` is not audio.
    """
    view = _view(pcm)
    step = max(1, round(PIECE_S * sample_rate))
    for at in range(0, len(view), step):
        yield start_s + at / sample_rate, _pcm_s16le(view[at : at + step])


def frame(track: str, media_s: float, payload: bytes) -> bytes:
    """A binary message of `/ingest`: version, track id, media time, samples."""
    name = track.encode()
    return struct.pack(f"<BB{len(name)}sd", 1, len(name), name, media_s) + payload


def _to_int16(sample: float) -> int:
    if not math.isfinite(sample):
        raise ClientError("A sample is not a finite number.")
    return round(max(-1.0, min(1.0, sample)) * 32_767)


def _view(pcm: Pcm) -> memoryview:
    """A view with one element per sample."""
    try:
        view = memoryview(pcm)
    except TypeError as error:
        raise ClientError(f"Audio is bytes, or an array of int16 or float, not {type(pcm).__name__}.") from error
    if view.ndim != 1:
        raise ClientError(f"Audio is mono: an array of shape (n,), not {view.shape}.")
    if view.format in _BYTES:
        if view.nbytes % 2:
            raise ClientError(f"{view.nbytes} bytes are not whole 16-bit samples.")
        samples = array("h", view.tobytes())
        if sys.byteorder == "big":
            samples.byteswap()
        return memoryview(samples)
    if view.format not in _INT16 + _FLOATS:
        raise ClientError(f"Samples are int16 or float, not {view.format!r}.")
    return view


def _pcm_s16le(view: memoryview) -> bytes:
    samples = array("h", view.tobytes() if view.format in _INT16 else map(_to_int16, view.tolist()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()

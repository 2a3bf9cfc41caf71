"""Decoded audio frames of any format to float32 at 16 kHz, and several channels to one. No files, no sockets."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from cberl.types import SAMPLE_RATE, Float32

Float64 = NDArray[np.float64]

MEMORY_S = 5.0  # over which channels are compared
SILENT = 1e-3  # of the energy of the loudest channel: an unused input
INVERTED = -0.5  # correlation of channels of which one has the wrong sign
# Gains of a mix to mono, as in ITU-R BS.775 and FFmpeg. All other channels are surround channels.
GAINS = {"FC": 1.0, "FL": sqrt(0.5), "FR": sqrt(0.5), "LFE": 0.0, "LFE2": 0.0}
SURROUND_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """`layout`: the names of the channels, "NONE" where they have none."""

    sample_rate: int
    sample_format: str
    layout: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MonoPcm:
    """Audio that needs no resampling, in place of a frame of FFmpeg: float32[n] in -1..1 at 16 kHz, finite."""

    pcm: Float32
    sample_rate: int = SAMPLE_RATE

    @property
    def samples(self) -> int:
        return len(self.pcm)


MONO = FrameFormat(SAMPLE_RATE, "flt", ("FC",))


def format_of(frame: Any) -> FrameFormat:
    if isinstance(frame, MonoPcm):
        return MONO
    names = tuple(channel.name for channel in frame.layout.channels)
    return FrameFormat(frame.sample_rate, frame.format.name, names)


class FrameResampler:
    """Decoded frames in, float32[channels, n] at 16 kHz out: finite, in -1..1.

    FFmpeg's libswresample works on a stream: the output joined is that of the whole signal resampled at once. Call
    `flush` before a frame of another format.
    """

    def __init__(self) -> None:
        self._format: FrameFormat | None = None
        self._resampler: av.AudioResampler | None = None

    @property
    def layout(self) -> tuple[str, ...]:
        return self._format.layout if self._format else ()

    def takes(self, frame: Any) -> bool:
        """Whether this frame has the format of the one before it."""
        form = format_of(frame)
        return form is self._format or form == self._format

    def push(self, frame: Any) -> list[Float32]:
        if isinstance(frame, MonoPcm):
            self._format = MONO
            return [frame.pcm[None]]
        if self._resampler is None:
            self._format = format_of(frame)
            # Interleaved: reading planes of more than 7 channels crashes PyAV. No layout: all channels are kept.
            self._resampler = av.AudioResampler(format="flt", rate=SAMPLE_RATE)
        frame.pts = None  # or the resampler would fill gaps by itself
        return [_planar(out) for out in self._resampler.resample(frame)]

    def flush(self) -> list[Float32]:
        """The samples still in the resampler. The next frame may have another format."""
        self._format = None
        if self._resampler is None:
            return []
        tail = [_planar(out) for out in self._resampler.resample(None)]
        self._resampler = None
        return tail


class Downmix:
    """Mixes channels to mono. A channel that is the inverse of the loudest one is inverted, so that none cancel out."""

    def __init__(self) -> None:
        self._covariance = np.zeros((0, 0))

    def __call__(self, pcm: Float32, layout: tuple[str, ...] = ()) -> Float32:
        """float32[channels, n] -> float32[n]."""
        if len(pcm) == 1:
            mono: Float32 = pcm[0]
            return mono
        if len(self._covariance) != len(pcm):
            self._covariance = np.zeros((len(pcm), len(pcm)))
        self._covariance = self._covariance * 0.5 ** (pcm.shape[1] / SAMPLE_RATE / MEMORY_S) + pcm @ pcm.T
        energy = np.diag(self._covariance)
        mixed: Float32 = (_gains(layout, energy) * _signs(self._covariance, energy) @ pcm).clip(-1.0, 1.0)
        return mixed


def _signs(covariance: Float64, energy: Float64) -> Float32:
    """float32[channels]: -1 for the inverse of the loudest channel, otherwise 1."""
    loudest = int(energy.argmax())
    scale = np.sqrt(energy * energy[loudest])
    signs: Float32 = np.where(covariance[loudest] < INVERTED * scale, -1, 1).astype(np.float32)
    return signs


def _gains(layout: tuple[str, ...], energy: Float64) -> Float32:
    """float32[channels]. Without a layout, or where channels have no names: the mean of those that carry sound."""
    if layout == ("NONE", "NONE"):
        layout = ("FL", "FR")
    gains = np.array([GAINS.get(name, SURROUND_GAIN) for name in layout], np.float32)
    if "NONE" in layout or not gains.any():
        used = (energy >= SILENT * energy.max()).astype(np.float32)
        mean: Float32 = used / used.sum()
        return mean
    return gains


def _planar(frame: Any) -> Float32:
    """float32[channels, n] of an interleaved frame. What is not a finite number becomes 0."""
    pcm: Float32 = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T  # (1, n * channels) -> (channels, n)
    if not np.abs(pcm).max(initial=0.0) <= 1.0:  # also where it is NaN
        pcm = np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
    return np.ascontiguousarray(pcm)

"""Opening media files and decoding their audio with PyAV. Live, file and training paths all read media here.

Media time starts with the earliest audio or video of a file, as in players.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from cberl.data.dialogue import DataError
from cberl.data.resampling import FrameResampler, format_of
from cberl.types import SAMPLE_RATE, Float32

MIN_GAP_S = 0.05  # a shorter gap between timestamps is jitter
MAX_GAP_S = 4 * 3600.0  # a longer one is a clock that was set
MAX_BACK_S = 1.0  # timestamps that go back further are those of another recording, appended to the first
MAX_LOST_END_S = 1.0  # of audio at the end that cannot be decoded, before it is an error

log = logging.getLogger(__name__)


class MediaError(DataError):
    """A media file cannot be read, or not to its end. The message is one sentence that names it."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioBlock:
    """Decoded audio: float32[channels, n] in -1..1 at 16 kHz. `layout`: the names of the channels, where known."""

    start_s: float
    pcm: Float32
    layout: tuple[str, ...] = ()

    @property
    def end_s(self) -> float:
        return self.start_s + int(self.pcm.shape[1]) / SAMPLE_RATE


def open_media(source: str | Path, *, device: str | None = None, timeout_s: float | None = None) -> Any:
    """PyAV's container of a file or an address. `device`: FFmpeg's name of a kind of device. Raises MediaError."""
    # Without the prefix, FFmpeg takes what precedes a colon in a file name for a protocol.
    address = f"file:{source}" if not device and os.path.exists(source) else str(source)
    try:
        return av.open(address, format=device, timeout=timeout_s, metadata_errors="replace")
    except (FileNotFoundError, av.ProtocolNotFoundError) as error:
        raise MediaError(f"{source} is missing: check the path") from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{source} cannot be read as media: {_reason(error)}") from error


def start_s(container: Any) -> float:
    """The timestamp that is media time 0."""
    timed = [it for it in container.streams if it.type in ("audio", "video") and _timed(it)]
    starts_s: list[float] = [float(it.start_time * it.time_base) for it in timed]
    return min(starts_s, default=0.0)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """`channels`: of the audio that is read. `film`: there are moving pictures. `duration_s` is None where unknown."""

    duration_s: float | None
    channels: int
    film: bool = False


def probe(source: str | Path) -> MediaInfo:
    """Reads the header alone. Raises MediaError where the file is missing or has no audio that can be decoded."""
    with open_media(source) as container:
        stream = audio_streams(source, container)[0]
        duration_s = container.duration / av.time_base if container.duration else None
        moving = [it for it in container.streams.video if not it.disposition & Disposition.attached_pic]
        return MediaInfo(duration_s, stream.codec_context.channels, bool(moving))


def audio_streams(source: str | Path, container: Any) -> list[Any]:
    """The audio streams that can be decoded, the preferred one first. Raises MediaError where there is none.

    Preferred is the one marked as default, then the first. Audio for the visually or hearing impaired comes last.
    """
    if not container.streams.audio:
        raise MediaError(f"{source} has no audio stream")
    streams = [stream for stream in container.streams.audio if _decodable(stream)]
    if all(stream.codec_context is not None for stream in container.streams.audio) and not streams:
        raise MediaError(f"{source} says that its audio has 0 channels: it is damaged, or was written wrongly")
    if not streams:
        raise MediaError(f"{source} has audio, but in a format that cannot be decoded: convert it to WAV or MP3")
    return sorted(streams, key=_preference)


def decode_audio(source: str | Path, container: Any) -> Iterator[AudioBlock]:
    """All of the preferred audio stream, in blocks. A gap in the timestamps is a gap between two blocks.

    The number of channels may change from block to block. Damaged packets are skipped. Where a stream has no good
    packet, the next one is read. A note in the log names the streams that are not read. Raises MediaError, after the
    last good block, where the file cannot be read to its end.
    """
    streams = audio_streams(source, container)
    for number, stream in enumerate(streams):
        if number > 0:
            container.seek(0)
        if len(container.streams.audio) > 1:
            log.warning("%s has several audio tracks: %s", source, _tracks_note(container, stream))
        decoder = _AudioDecoder(source, container, stream)
        yield from decoder.blocks()
        if decoder.decoded:
            return
    if decoder.damaged:
        raise MediaError(f"{source} has audio, but none of it can be decoded: it is damaged")


class _AudioDecoder:
    def __init__(self, source: str | Path, container: Any, stream: Any) -> None:
        self.decoded = False
        self.damaged = 0  # packets
        self._source = source
        self._container = container
        self._stream = stream
        self._lost_s = 0.0  # in the packets since the last good one
        self._clock = _StampClock(start_s(container))
        self._resampler = FrameResampler()
        self._block_s = 0.0  # where the next block starts

    def blocks(self) -> Iterator[AudioBlock]:
        try:
            for packet in self._container.demux(self._stream):
                for frame in self._frames(packet):
                    yield from self._resampled(frame)
        except (av.FFmpegError, OSError) as error:
            yield from self._flush()
            if not self.decoded:
                raise MediaError(f"{self._source} cannot be read as media: {_reason(error)}") from error
            message = f"{self._source} could be read only up to {self._clock.end_s:.1f} s: {_reason(error)}"
            raise MediaError(message) from error
        yield from self._flush()
        if self.decoded and self.damaged:
            log.warning("%s: damaged audio packets skipped: %d", self._source, self.damaged)
        if self.decoded and self._lost_s > MAX_LOST_END_S:
            end_s = self._clock.end_s
            raise MediaError(f"{self._source} could be decoded only up to {end_s:.1f} s: the rest of it is damaged")

    def _frames(self, packet: Any) -> Iterator[Any]:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            self._lost_s += float((packet.duration or 0) * packet.time_base)
            return
        if frames:
            self._lost_s = 0.0
            self.decoded = True
        yield from frames

    def _resampled(self, frame: Any) -> Iterator[AudioBlock]:
        before_s = self._clock.end_s
        at_s = self._clock.place(frame.time, frame.samples / frame.sample_rate)
        if at_s != before_s or not self._resampler.takes(frame):
            yield from self._flush()
            self._block_s = at_s
        layout = format_of(frame).layout
        for pcm in self._resampler.push(frame):
            yield self._block(pcm, layout)

    def _flush(self) -> Iterator[AudioBlock]:
        layout = self._resampler.layout
        for pcm in self._resampler.flush():
            yield self._block(pcm, layout)

    def _block(self, pcm: Float32, layout: tuple[str, ...]) -> AudioBlock:
        block = AudioBlock(self._block_s, pcm, layout)
        self._block_s = block.end_s
        return block


class _StampClock:
    """Media time of decoded frames: contiguous, but for gaps in the timestamps."""

    def __init__(self, start_s: float) -> None:
        self.end_s = 0.0
        self._offset_s = -start_s
        self._started = False

    def place(self, stamp_s: float | None, duration_s: float) -> float:
        """Where a frame starts."""
        at_s = self.end_s if stamp_s is None else stamp_s + self._offset_s
        ahead_s = at_s - self.end_s
        min_gap_s = MIN_GAP_S if self._started else 0.0
        if ahead_s > MAX_GAP_S or ahead_s < -MAX_BACK_S:
            self._offset_s -= ahead_s
        if not min_gap_s < ahead_s <= MAX_GAP_S:
            at_s = self.end_s
        self._started = True
        self.end_s = at_s + duration_s
        return at_s


def _timed(stream: Any) -> bool:
    return stream.start_time is not None and not stream.disposition & Disposition.attached_pic


def _decodable(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.channels > 0


def _preference(stream: Any) -> tuple[bool, bool, int]:
    impaired = Disposition.visual_impaired | Disposition.hearing_impaired
    return bool(stream.disposition & impaired), not stream.disposition & Disposition.default, stream.index


def _tracks_note(container: Any, used: Any) -> str:
    names = {stream.index: _track_name(number, stream) for number, stream in enumerate(container.streams.audio, 1)}
    reading = names.pop(used.index)
    return f"{reading} is used, not {', '.join(names.values())}"


def _track_name(number: int, stream: Any) -> str:
    details = [stream.metadata.get("title"), stream.language, None if _decodable(stream) else "cannot be decoded"]
    named = ", ".join(it for it in details if it and it != "und")
    return f"track {number} ({named})" if named else f"track {number}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)

"""Media files of the odd kinds that users have, made where a test needs them: bursts of a tone at known times."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from cberl.types import SAMPLE_RATE, Float32
from engine.media import AudioChunk

BURST_S = 0.3
LEVEL = 0.5

Part = tuple[float, Float32]  # start in s, float32[channels, n]


def bursts(at_s: Sequence[float], seconds: float, rate: int = 48_000, hertz: float = 440.0) -> Float32:
    """float32[n]: silence with a burst at each of these times."""
    clock_s = np.arange(round(seconds * rate)) / rate
    on = np.any([(clock_s >= it) & (clock_s < it + BURST_S) for it in at_s], axis=0)
    return np.where(on, LEVEL * np.sin(2 * np.pi * hertz * clock_s), 0).astype(np.float32)


def onsets(pcm: Float32) -> list[float]:
    """When the bursts in float32[n] at 16 kHz start, to 0.01 s."""
    hop = SAMPLE_RATE // 100
    loud = np.abs(pcm[: len(pcm) // hop * hop]).reshape(-1, hop).max(axis=1) > LEVEL / 5
    starts = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))
    return [float(it) / 100 for it in starts[np.diff(starts, prepend=-hop) > 5]]  # a codec may ring before a burst


def on_timeline(chunks: list[AudioChunk]) -> Float32:
    """The audio of one track, each chunk at its media time."""
    if len({chunk.track.id for chunk in chunks}) != 1:
        raise ValueError("chunks of more than one track, or none")
    pcm = np.zeros(max(round(chunk.end_s * SAMPLE_RATE) for chunk in chunks), np.float32)
    for chunk in chunks:
        start = round(chunk.start_s * SAMPLE_RATE)
        pcm[start : start + len(chunk.pcm)] = chunk.pcm
    return pcm


def write_streams(
    path: Path,
    codec: str,
    *streams: Sequence[Part],
    rate: int = 48_000,
    layout: str = "mono",
    form: str = "fltp",
    default: int | None = None,
    titles: Sequence[str] = (),
) -> Path:
    """Audio streams, each of parts between which there are gaps; `default`: which one is marked so."""
    with av.open(str(path), "w") as container:
        made = [container.add_stream(codec, rate=rate, layout=layout) for _ in streams]
        for number, stream in enumerate(made):
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            if titles:
                stream.metadata["title"] = titles[number]
        packets = [it for stream, parts in zip(made, streams, strict=True) for it in _encode(stream, parts, form)]
        for packet in sorted(packets, key=lambda it: float(it.dts * it.time_base)):
            container.mux(packet)
    return path


def _encode(stream: Any, parts: Sequence[Part], form: str) -> list[Any]:
    packets: list[Any] = []
    size = stream.codec_context.frame_size or 1024
    for start_s, pcm in parts:
        for at in range(0, pcm.shape[1], size):
            part = pcm[:, at : at + size]
            scaled = part if form.startswith("flt") else (part * 32_767).astype(np.int16)
            packed = scaled if form.endswith("p") else scaled.T.reshape(1, -1)  # (channels, n) -> (1, n * channels)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), form, stream.layout.name)
            frame.sample_rate = stream.rate
            frame.pts = round(start_s * stream.rate) + at
            packets += stream.encode(frame)
    return [it for it in packets + stream.encode(None) if it.dts is not None]

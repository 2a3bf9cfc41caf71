"""The file of one recorded conversation: records, appended one by one. docs/replay.md describes it.

A record is three little-endian uint32 (length of its JSON, length of its payload, CRC-32 of both), a JSON object, and
the payload. A file that was cut off in the middle of a record is valid up to there.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import EngineError
from engine.media import AudioChunk, Caption, Track, VideoFrame

VERSION = 1
HEAD = struct.Struct("<III")
MAX_RECORD_BYTES = 1 << 30


class RecordingError(EngineError):
    """A recording cannot be written or read."""


@dataclass(frozen=True, slots=True)
class Record:
    """`about`: its JSON object, with a `type`. `payload_at`, `payload_bytes`: where its payload is in the file."""

    about: dict[str, Any]
    payload_at: int
    payload_bytes: int


def encode(about: dict[str, Any], payload: bytes = b"") -> bytes:
    """One record."""
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
    return HEAD.pack(len(text), len(payload), zlib.crc32(payload, zlib.crc32(text))) + text + payload


def encode_chunk(chunk: AudioChunk, at_s: float, source: int, dropped: int) -> bytes:
    """A `chunk` record. `at_s`: when it arrived, in seconds since the recording began."""
    about = {
        "type": "chunk",
        "at_s": at_s,
        "source": source,
        "track": asdict(chunk.track),
        "start_s": chunk.start_s,
        "samples": len(chunk.pcm),
        "realtime": chunk.realtime,
        "dropped": dropped,
        "captions": [asdict(it) for it in chunk.captions],
        "frames": [{"at_s": it.at_s, "shape": it.rgb.shape} for it in chunk.frames],
    }
    pictures = (np.ascontiguousarray(it.rgb, np.uint8).tobytes() for it in chunk.frames)
    return encode(about, b"".join([chunk.pcm.astype("<f4").tobytes(), *pictures]))


def decode_chunk(about: dict[str, Any], payload: bytes, arrived_at: float) -> AudioChunk:
    """The reverse of `encode_chunk`. Raises KeyError, TypeError or ValueError where it is no such record."""
    track, at = Track(**about["track"]), 4 * about["samples"]
    frames: list[VideoFrame] = []
    for it in about["frames"]:
        size = int(np.prod(it["shape"]))
        rgb = np.frombuffer(payload[at : at + size], np.uint8).reshape(it["shape"])
        frames.append(VideoFrame(track, it["at_s"], rgb))
        at += size
    return AudioChunk(
        track,
        about["start_s"],
        np.frombuffer(payload[: 4 * about["samples"]], "<f4").astype(np.float32),
        tuple(frames),
        arrived_at,
        tuple(Caption(**it) for it in about["captions"]),
        about["realtime"],
    )


def records(file: BinaryIO) -> Iterator[Record]:
    """All records up to the first that is incomplete or damaged."""
    while len(head := file.read(HEAD.size)) == HEAD.size:
        text_bytes, payload_bytes, checksum = HEAD.unpack(head)
        if text_bytes + payload_bytes > MAX_RECORD_BYTES:
            return
        at = file.tell() + text_bytes
        body = file.read(text_bytes + payload_bytes)
        if len(body) < text_bytes + payload_bytes or zlib.crc32(body) != checksum:
            return
        try:
            about = json.loads(body[:text_bytes])
        except ValueError:
            return
        yield Record(about, at, payload_bytes)


def read_header(path: Path) -> dict[str, Any]:
    """The first record. Raises RecordingError where the file is no recording that this version reads."""
    try:
        with path.open("rb") as file:
            first = next(records(file), None)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if first is None or first.about.get("type") != "conversation":
        raise RecordingError(f"{path} is not a recording of cberl serve --record")
    if first.about.get("version") != VERSION:
        raise RecordingError(
            f"{path} has version {first.about.get('version')} of the format, this engine reads {VERSION}"
        )
    return first.about

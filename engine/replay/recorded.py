"""A recording as the sources of a conversation. Payloads are read when they are due."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.media import AudioChunk
from engine.recording.container import Record, RecordingError, decode_chunk, read_header, records
from engine.recording.folder import SUFFIX, all_recordings


@dataclass(slots=True, eq=False)
class RecordedSource:
    """One publisher: when it joined and left, in seconds since the recording began, and its `chunk` records."""

    joined_s: float
    live: bool
    left_s: float | None = None  # None: the recording ends before
    left_out: int = 0  # tracks that were not recorded
    chunks: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedConversation:
    """`settings`: those on which its course depends. `complete`: its end was recorded."""

    path: Path
    name: str
    settings: dict[str, Any]
    sources: tuple[RecordedSource, ...]
    complete: bool

    @property
    def duration_s(self) -> float:
        return max((it.about["at_s"] for source in self.sources for it in source.chunks), default=0.0)


def read_recording(path: Path) -> RecordedConversation:
    """Raises RecordingError where the file is no recording, or damaged other than at its end."""
    header = read_header(path)
    sources: dict[int, RecordedSource] = {}
    try:
        with path.open("rb") as file:
            last = ""
            for record in records(file):
                last = record.about["type"]
                _add(sources, record)
        complete = last == "ended"
        return RecordedConversation(path, header["conversation"], header["settings"], tuple(sources.values()), complete)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{path} has a record that this engine does not understand: {error!r}") from error


def find_recordings(path: Path) -> list[Path]:
    """The file itself, or those in a folder, oldest first. Raises RecordingError where there are none."""
    found = all_recordings(path) if path.is_dir() else [path]
    if not found:
        raise RecordingError(f"there is no recording (*{SUFFIX}) in {path}")
    return found


class ReplaySource:
    """A `ChunkSource`: each chunk arrives as long after `base_s` as it did after the recording began."""

    def __init__(self, recorded: RecordedSource, path: Path, base_s: float) -> None:
        self.dropped = 0
        self._recorded = recorded
        self._path = path
        self._base_s = base_s

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        with self._path.open("rb") as file:  # noqa: ASYNC230 - on virtual time, nothing waits meanwhile
            for record in self._recorded.chunks:
                arrives_at = self._base_s + record.about["at_s"]
                await sleep_until(arrives_at)
                self.dropped = record.about["dropped"]
                yield decode_chunk(record.about, _payload(file, record), arrives_at)
        if self._recorded.left_s is not None:
            await sleep_until(self._base_s + self._recorded.left_s)


async def sleep_until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))


def _payload(file: BinaryIO, record: Record) -> bytes:
    file.seek(record.payload_at)
    return file.read(record.payload_bytes)


def _add(sources: dict[int, RecordedSource], record: Record) -> None:
    about = record.about
    match about["type"]:
        case "joined":
            sources[about["source"]] = RecordedSource(float(about["at_s"]), bool(about["live"]))
        case "chunk":
            sources[about["source"]].chunks.append(record)
        case "left_out":
            sources[about["source"]].left_out += 1
        case "left":
            sources[about["source"]].left_s = float(about["at_s"])

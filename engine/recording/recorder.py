"""Writes what publishers send to files, from a thread of its own. A disk that fails ends a recording, nothing else."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from engine.loop_time import loop_time_s
from engine.media import AudioChunk, ChunkSource
from engine.recording.container import VERSION, RecordingError, encode, encode_chunk
from engine.recording.folder import RecordingLimits, bytes_in, delete, file_name, keep_within, recordings_of
from engine.runtime.clocks import unix_s

QUEUED_BYTES = 64 << 20  # that wait for the disk
SWEEP_S = 60.0
SPARE = 20  # a twentieth of the room is made free at once

log = logging.getLogger(__name__)


class Recording:
    """One conversation. From `Recorder.open`."""

    def __init__(self, path: Path, write: Callable[["Recording", bytes], None]) -> None:
        self.path = path
        self.file: int | None = None  # descriptor; belongs to the recorder's thread
        self.over = False  # nothing more is recorded
        self.failed = False  # neither is what waits to be written
        self._write = write
        self._began = loop_time_s()
        self._sources = count(1)

    async def tap(self, source: ChunkSource, *, live: bool) -> AsyncIterator[AudioChunk]:
        """The chunks of one publisher, unchanged. Those of tracks of which only the words may be used are left out."""
        number, left_out = next(self._sources), set[str]()
        self.add({"type": "joined", "source": number, "live": live})
        try:
            async for chunk in source:
                if chunk.track.analyse == "all":
                    self._put(encode_chunk(chunk, chunk.arrived_at - self._began, number, source.dropped))
                elif chunk.track.id not in left_out:
                    left_out.add(chunk.track.id)
                    self.add({"type": "left_out", "source": number})
                yield chunk
        finally:
            self.add({"type": "left", "source": number})

    def add(self, about: dict[str, Any]) -> None:
        """A record without payload, with the present time."""
        self._put(encode(about | {"at_s": loop_time_s() - self._began}))

    def _put(self, record: bytes) -> None:
        if not self.over:
            self._write(self, record)


class Recorder:
    """From `open_recorder`. One thread does everything that concerns the folder, in order."""

    def __init__(self, folder: Path, limits: RecordingLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._open: dict[Path, Recording] = {}
        self._bytes = bytes_in(folder)
        self._queued_bytes = 0
        self._counting = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    def open(self, conversation: str, settings: Mapping[str, Any]) -> Recording:
        """`settings`: those on which the course of a conversation depends."""
        began_unix_s = unix_s()
        path = self._folder / file_name(conversation, began_unix_s)
        recording = self._open[path] = Recording(path, self._write)
        about = {"type": "conversation", "version": VERSION, "conversation": conversation}
        recording.add({**about, "began_unix_s": began_unix_s, "settings": dict(settings)})
        return recording

    def close(self, recording: Recording) -> None:
        """Its conversation has ended, or it has failed."""
        recording.add({"type": "ended"})
        recording.over = True
        self._thread.submit(self._release, recording)

    async def keep_within_limits(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self._in_thread(self.sweep)

    async def has(self, conversation: str) -> bool:
        return bool(await self._in_thread(recordings_of, self._folder, conversation))

    async def forget(self, conversation: str) -> int:
        """Delete the recordings of a conversation that has ended. Returns how many there were. Raises OSError."""
        return int(await self._in_thread(lambda: delete(recordings_of(self._folder, conversation))))

    def stop(self) -> None:
        """Blocks until everything is written."""
        for recording in list(self._open.values()):
            self.close(recording)
        self._thread.shutdown()

    def sweep(self, spare_bytes: int = 0) -> None:
        """Delete what is beyond the limits, and as much as leaves `spare_bytes`. In the thread."""
        try:
            keep_within(self._folder, self._limits, unix_s(), self._open, spare_bytes)
            self._bytes = bytes_in(self._folder)
        except OSError as error:
            log.error("old recordings cannot be deleted: %s", error)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _write(self, recording: Recording, record: bytes) -> None:
        if self._queued_bytes + len(record) > QUEUED_BYTES:
            self._give_up(recording, "the disk is too slow")
            self.close(recording)
            return
        self._count(len(record))
        self._thread.submit(self._append, recording, record)

    def _count(self, queued_bytes: int) -> None:
        with self._counting:
            self._queued_bytes += queued_bytes

    def _append(self, recording: Recording, record: bytes) -> None:
        try:
            if recording.failed:
                return
            if self._bytes + len(record) > self._limits.max_bytes:
                self.sweep(max(len(record), self._limits.max_bytes // SPARE))
            if self._bytes + len(record) > self._limits.max_bytes:
                self._give_up(recording, "all recordings together have record_mb")
                return
            if recording.file is None:
                recording.file = os.open(recording.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            written = os.write(recording.file, record)
            self._bytes += written
            if written < len(record):
                self._give_up(recording, "the disk is full")
        except OSError as error:
            self._give_up(recording, str(error))
        finally:
            self._count(-len(record))

    def _give_up(self, recording: Recording, reason: str) -> None:
        if not recording.failed:
            recording.over = recording.failed = True
            log.error("the recording %s ends early: %s", recording.path.name, reason)

    def _release(self, recording: Recording) -> None:
        self._open.pop(recording.path, None)
        if recording.file is not None:
            os.close(recording.file)
            recording.file = None


@asynccontextmanager
async def open_recorder(folder: Path, limits: RecordingLimits) -> AsyncIterator[Recorder]:
    """Creates the folder where necessary. Raises RecordingError where it cannot be used."""
    try:
        recorder = await asyncio.to_thread(_new_recorder, folder, limits)
    except OSError as error:
        raise RecordingError(f"recordings cannot be kept in {folder}: {error.strerror}: use another folder") from error
    sweeping = asyncio.create_task(recorder.keep_within_limits(), name="recordings")
    try:
        yield recorder
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await asyncio.to_thread(recorder.stop)


def _new_recorder(folder: Path, limits: RecordingLimits) -> Recorder:
    """Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        recorder = Recorder(folder, limits)
    recorder.sweep()
    return recorder

"""What is recorded, and what of it is kept."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from engine.media import AudioChunk, PullSource, Track
from engine.recording.container import RecordingError
from engine.recording.folder import RecordingLimits, all_recordings
from engine.recording.recorder import Recorder, open_recorder
from engine.replay.recorded import RecordedConversation, read_recording

LIMITS = RecordingLimits(max_bytes=1 << 20, max_age_s=3600.0)
TRACK = Track("a", "ann")


def second(track: Track, start_s: float) -> AudioChunk:
    return AudioChunk(track, start_s, np.zeros(SAMPLE_RATE, np.float32))  # 64 kB


async def record(recorder: Recorder, name: str, chunks: list[AudioChunk]) -> int:
    """How many chunks came through."""

    async def source() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    recording = recorder.open(name, {"end_silence_ms": 500})
    passed = [it async for it in recording.tap(PullSource(source()), live=True)]
    assert all(it is chunk for it, chunk in zip(passed, chunks, strict=True))
    recorder.close(recording)
    await recorder.has(name)  # all is written
    return len(passed)


def kept(folder: Path) -> list[RecordedConversation]:
    return [read_recording(path) for path in all_recordings(folder)]


def test_a_recording_is_private_and_complete(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_recorder(tmp_path / "new" / "folder", LIMITS) as recorder:
            await record(recorder, "a/b: «ж»", [second(TRACK, n) for n in range(3)])

    asyncio.run(main())
    folder = tmp_path / "new" / "folder"
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (found,) = kept(folder)
    (source,) = found.sources
    assert (found.name, found.settings, found.complete) == ("a/b: «ж»", {"end_silence_ms": 500}, True)
    assert (source.live, len(source.chunks), source.left_s is not None) == (True, 3, True)


def test_a_track_of_which_only_the_words_may_be_used_is_not_recorded(tmp_path: Path) -> None:
    words = replace(TRACK, id="b", analyse="text")

    async def main() -> None:
        async with open_recorder(tmp_path, LIMITS) as recorder:
            assert await record(recorder, "talk", [second(words, 0), second(TRACK, 0), second(words, 1)]) == 3

    asyncio.run(main())
    (source,) = kept(tmp_path)[0].sources
    assert [it.about["track"]["id"] for it in source.chunks] == ["a"]
    assert source.left_out == 1


def test_the_oldest_recordings_make_room_and_a_recording_that_fills_it_alone_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_recorder(tmp_path, LIMITS) as recorder:
            for n in range(5):
                await record(recorder, f"talk {n}", [second(TRACK, n) for n in range(5)])
            assert [it.name for it in kept(tmp_path)] == ["talk 2", "talk 3", "talk 4"]
            assert await record(recorder, "long", [second(TRACK, n) for n in range(30)]) == 30

    asyncio.run(main())
    (long,) = kept(tmp_path)
    assert (long.name, long.complete) == ("long", False)
    assert 14 <= len(long.sources[0].chunks) <= 16
    assert sum(it.stat().st_size for it in tmp_path.iterdir()) <= LIMITS.max_bytes
    assert caplog.text.count("ends early: all recordings together have record_mb") == 1


def test_old_recordings_and_those_of_a_conversation_to_forget_are_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_recorder(tmp_path, LIMITS) as recorder:
            for name in ("old", "ours", "ours", "theirs"):
                await record(recorder, name, [second(TRACK, 0)])
            os.utime(all_recordings(tmp_path)[0], (0, 0))
            assert await recorder.has("ours")
            assert await recorder.forget("ours") == 2
            assert not await recorder.has("ours")
        async with open_recorder(tmp_path, LIMITS) as recorder:
            assert await recorder.has("theirs")

    asyncio.run(main())
    assert [it.name for it in kept(tmp_path)] == ["theirs"]


def test_a_folder_that_cannot_be_used_is_an_error_and_a_failing_disk_ends_only_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        with pytest.raises(RecordingError, match="use another folder"):
            async with open_recorder(tmp_path / "file", LIMITS):
                pass
        folder = tmp_path / "gone"
        async with open_recorder(folder, LIMITS) as recorder:
            folder.rmdir()
            assert await record(recorder, "talk", [second(TRACK, n) for n in range(3)]) == 3

    asyncio.run(main())
    assert caplog.text.count("ends early") == 1

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from cberl.types import Float32
from engine.ingest.file import read_media
from engine.media import AudioChunk, Track
from engine.runtime.worker import Worker
from engine.speech.segmenter import Segmenter, SegmenterConfig
from engine.speech.turn import TrackProgress, Turn, TurnResumed, TurnUpdate
from engine.speech.turn_detector import TurnDetector
from engine.speech.vad import WINDOW, SileroVad, VadRequest, VadResult, VadState
from testing.live_engine import demo
from testing.scripted_talk import turn as spoken

SHARED = Path(os.environ.get("CBERL_SHARED", "../shared"))
SPEECH = SHARED / "data/ravdess/03-01-05-01-02-01-01.flac"  # silence, "dogs are sitting by the door", silence
ANN, BOB = Track("a", "ann"), Track("b", "bob")

needs_speech = pytest.mark.skipif(not SPEECH.exists(), reason=f"needs {SPEECH} (set CBERL_SHARED)")


async def stream(chunks: Iterable[AudioChunk], crash: bool = False) -> AsyncIterator[AudioChunk]:
    for chunk in chunks:
        yield chunk
    if crash:
        raise ConnectionResetError("the line went dead")


async def turns_of(source: AsyncIterator[AudioChunk]) -> list[Turn]:
    turns: list[Turn] = []
    async with Worker(SileroVad().run, name="vad") as vad:
        await collect(turns, TurnDetector(vad, SegmenterConfig(), count(1)).detect(source))
    return turns


async def collect(turns: list[Turn], source: AsyncIterator[TurnUpdate]) -> None:
    async for heard in source:
        if isinstance(heard, Turn):
            turns.append(heard)  # noqa: PERF401 - what came before a crash stays


def cut(track: Track, pcm: Float32, size: int, start_s: float = 0.0) -> list[AudioChunk]:
    return [AudioChunk(track, start_s + i / 16_000, pcm[i : i + size]) for i in range(0, len(pcm), size)]


async def speech() -> Float32:
    return np.concatenate([chunk.pcm async for chunk in read_media(str(SPEECH))])


@needs_speech
def test_turns_do_not_depend_on_chunk_sizes_nor_on_who_else_speaks() -> None:
    async def main() -> None:
        pcm = await speech()
        (alone,) = await turns_of(stream(cut(ANN, pcm, 1600)))
        assert 1.0 < alone.start_s < alone.end_s < len(pcm) / 16_000
        mixed = sorted(cut(ANN, pcm, 320) + cut(BOB, pcm, 7777, start_s=0.5), key=lambda chunk: chunk.start_s)
        first, second = await turns_of(stream(mixed))
        assert (first.turn_id, first.speaker) == (1, "ann")
        assert (second.turn_id, second.speaker) == (2, "bob")
        for turn, later_s in ((first, 0.0), (second, 0.5)):
            np.testing.assert_array_equal(turn.pcm, alone.pcm)
            assert turn.start_s == pytest.approx(alone.start_s + later_s)
            assert turn.end_s == pytest.approx(alone.end_s + later_s)

    asyncio.run(main())


def test_a_long_silence_is_not_given_to_the_network_and_changes_no_turn() -> None:
    network, given = SileroVad(), 0

    def run(requests: list[VadRequest]) -> list[VadResult]:
        nonlocal given
        given += sum(len(it.windows) for it in requests)
        return network.run(requests)

    async def found(pcm: Float32, size: int) -> list[Turn]:
        turns: list[Turn] = []
        async with Worker(run, name="vad") as vad:
            await collect(turns, TurnDetector(vad, SegmenterConfig(), count(1)).detect(stream(cut(ANN, pcm, size))))
        return turns

    pcm = demo()[0][: 30 * 16_000]  # one of two speakers: the other half is silence
    windows = pcm[: len(pcm) // WINDOW * WINDOW].reshape(-1, WINDOW)
    (whole,) = network.run([VadRequest(VadState(), windows)])
    segmenter = Segmenter(ANN, SegmenterConfig(), count(1))
    pushed = [segmenter.push(window, float(p)) for window, p in zip(windows, whole.probabilities, strict=True)]
    expected = [turn for updates in [*pushed, segmenter.flush()] for turn in updates if isinstance(turn, Turn)]
    turns, given_at_once = asyncio.run(found(pcm, 1600)), given
    assert given_at_once < 0.7 * len(windows)
    for turn, other in zip(turns, expected, strict=True):
        assert (turn.start_s, turn.end_s) == pytest.approx((other.start_s, other.end_s), abs=2 * WINDOW / 16_000)
    again = asyncio.run(found(pcm, 7777))
    assert [(it.start_s, it.end_s) for it in again] == [(it.start_s, it.end_s) for it in turns]
    assert given == 2 * given_at_once


@needs_speech
def test_gaps_keep_media_time_right_and_overlaps_are_used_once() -> None:
    async def main() -> None:
        pcm = await speech()
        (whole,) = await turns_of(stream(cut(ANN, pcm, 1600)))
        chunks = cut(ANN, pcm, 1600)
        before = int(whole.start_s * 10) - 4  # chunks of silence, well before speech
        lost = await turns_of(stream(chunks[:before] + chunks[before + 2 :]))
        assert lost[0].start_s == pytest.approx(whole.start_s, abs=0.1)
        repeated = await turns_of(stream(chunks[:before] + chunks[before - 3 :]))
        assert repeated[0].start_s == pytest.approx(whole.start_s, abs=0.1)
        # The line is silent for a minute while somebody speaks: the turn ends, the next has its own time.
        middle = round((whole.start_s + whole.end_s) * 5)
        late = [AudioChunk(ANN, c.start_s + 60.0, c.pcm) for c in chunks[middle:]]
        first, second = await turns_of(stream(chunks[:middle] + late))
        assert first.end_s == pytest.approx(middle / 10, abs=0.1)
        assert second.start_s == pytest.approx(middle / 10 + 60.0, abs=0.1)

    asyncio.run(main())


@needs_speech
def test_a_hang_up_ends_the_last_turn_and_a_failure_discards_it() -> None:
    async def main() -> None:
        pcm = await speech()
        (whole,) = await turns_of(stream(cut(ANN, pcm, 1600)))
        half = pcm[: round((whole.start_s + 1.0) * 16_000) + 100]  # not a whole number of windows
        (turn,) = await turns_of(stream(cut(ANN, half, 1600)))
        assert turn.start_s == whole.start_s
        assert turn.end_s == pytest.approx(len(half) / 16_000)
        turns: list[Turn] = []
        async with Worker(SileroVad().run, name="vad") as vad:
            source = stream(cut(ANN, half, 1600), crash=True)
            with pytest.raises(ConnectionResetError):
                await collect(turns, TurnDetector(vad, SegmenterConfig(), count(1)).detect(source))
        assert turns == []

    asyncio.run(main())


@needs_speech
def test_no_turn_ends_before_the_settled_time() -> None:
    async def main() -> list[TurnUpdate]:
        pcm = await speech()
        mixed = sorted(cut(ANN, pcm, 1600) + cut(BOB, pcm, 1600, start_s=0.7), key=lambda chunk: chunk.start_s)
        config = SegmenterConfig(provisional_ms=160, interim_ms=300)
        async with Worker(SileroVad().run, name="vad") as vad:
            return [heard async for heard in TurnDetector(vad, config, count(1)).detect(stream(mixed))]

    settled_s = {"ann": 0.0, "bob": 0.0}
    stages: dict[str, list[str]] = {"ann": [], "bob": []}
    for heard in asyncio.run(main()):
        match heard:
            case TrackProgress(track_id=track, now_s=now_s, until_s=until_s):
                speaker = {"a": "ann", "b": "bob"}[track]
                assert settled_s[speaker] <= until_s <= now_s
                settled_s[speaker] = until_s
            case Turn(stage="interim" as stage, speaker=speaker):
                stages[speaker].append(stage)
            case Turn(stage=stage, speaker=speaker, end_s=end_s):
                assert end_s >= settled_s[speaker]
                stages[speaker].append(stage)
            case TurnResumed():
                raise AssertionError("one sentence without a pause")
    assert min(settled_s.values()) > 1.0
    assert stages["ann"] == stages["bob"]
    assert stages["ann"][-2:] == ["provisional", "final"]
    assert set(stages["ann"][:-2]) == {"interim"}


def test_a_turn_that_is_long_enough_silent_ends_before_the_next_chunk() -> None:
    """The microphone stalls in the silence, until it is known that so much silence ends the turn."""

    async def main() -> None:
        stalled, ended = asyncio.Event(), asyncio.Event()

        async def source() -> AsyncIterator[AudioChunk]:
            for chunk in cut(ANN, np.concatenate([spoken(20), np.zeros(4800, np.float32)]), 320):
                yield chunk
            stalled.set()
            await ended.wait()

        detected: list[TurnUpdate] = []
        config = SegmenterConfig(provisional_ms=128, tail_ms=128)
        async with asyncio.timeout(60), Worker(SileroVad().run, name="vad") as vad, asyncio.TaskGroup() as tasks:
            detector = TurnDetector(vad, config, count(1))

            async def detect() -> None:
                async for update in detector.detect(source()):
                    detected.append(update)  # noqa: PERF401 - is read meanwhile

            tasks.create_task(detect())
            await stalled.wait()
            provisional = [it for it in detected if isinstance(it, Turn)][-1]
            assert provisional.stage == "provisional"
            assert detector.end_after(provisional, 400) == []
            turn, progress = detector.end_after(provisional, 224)
            assert isinstance(turn, Turn)
            assert (turn.turn_id, turn.stage, turn.end_s) == (provisional.turn_id, "final", provisional.end_s)
            assert isinstance(progress, TrackProgress)
            assert progress.speaking_since_s is None
            ended.set()
        assert [it.stage for it in detected if isinstance(it, Turn)][-1] == "provisional"

    asyncio.run(main())

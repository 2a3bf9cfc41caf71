import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from cberl.types import Float32
from engine.ingest.file import read_media
from engine.runtime.worker import Worker
from engine.speech.ear import plain_words
from engine.speech.sphinx import EARS, SphinxTranscriber
from engine.speech.transcriber import Beginning

DATA = Path(os.environ.get("CBERL_SHARED", "../shared")) / "data"
TALK = DATA / "conversations/azure_katiesteve.wav"

needs_talk = pytest.mark.skipif(not TALK.exists(), reason=f"needs {TALK} (set CBERL_SHARED)")


def clip(start_s: float, end_s: float) -> Float32:
    async def read() -> Float32:
        return np.concatenate([chunk.pcm async for chunk in read_media(str(TALK))])

    return asyncio.run(read())[int(start_s * 16_000) : int(end_s * 16_000)]


@needs_talk
def test_clear_speech_is_understood_whatever_was_decoded_before() -> None:
    greeting, question, answer = clip(0.0, 1.2), clip(21.1, 24.0), clip(24.5, 25.8)
    noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32) * 0.3
    (first,) = SphinxTranscriber().transcribe([question])
    assert first.text.startswith("is the new feature")
    silence = np.zeros(16_000, np.float32)
    after = SphinxTranscriber().transcribe([noise, question, greeting, silence, answer, question])
    assert [after[2].text, after[3].text, after[4].text] == ["good morning steve", "", "absolutely"]
    assert after[1] == after[5] == first


@needs_talk
def test_in_a_process_of_its_own_it_hears_the_same() -> None:
    greeting = clip(0.0, 1.2)
    transcriber = SphinxTranscriber()
    (here,) = transcriber.transcribe([greeting])

    async def main() -> None:
        async with Worker(transcriber.transcribe, name=transcriber.name, kind=transcriber.kind) as worker:
            assert await worker(greeting) == here

    asyncio.run(main())


@needs_talk
def test_hearing_along_changes_nothing_in_what_is_heard() -> None:
    long, short = clip(2.2, 6.0), clip(0.0, 1.2)
    whole = SphinxTranscriber().transcribe([long, short])
    along = SphinxTranscriber()
    for end in range(2000, len(long), 7000):
        (so_far,) = along.transcribe([Beginning(long[:end])])
    while len(so_far.text.split()) < 5:  # each time as much as there is time for
        (so_far,) = along.transcribe([Beginning(long)])
    assert along.transcribe([long, short]) == whole
    for other in (long[: len(long) // 2], np.concatenate([long[:48_000], long[:16_000]])):  # it went on otherwise
        along.transcribe([Beginning(long[:56_000])])
        assert along.transcribe([other]) == SphinxTranscriber().transcribe([other])


@needs_talk
def test_more_clips_than_it_has_ears_for_are_heard_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.speech.sphinx.STALE_S", float("inf"))  # on a slow machine as well
    clips = [clip(at_s, at_s + 2.7) for at_s in (2.2, 12.0, 21.1)]
    whole = SphinxTranscriber().transcribe(clips)
    transcriber = SphinxTranscriber()
    for _ in range(3):
        texts = [it.text for it in transcriber.transcribe([Beginning(it) for it in clips])]
        assert texts[EARS:] == [""]
    assert transcriber.transcribe(clips[::-1]) == whole[::-1]


def test_nothing_said_is_no_text() -> None:
    silence, instant = np.zeros(16_000, np.float32), np.full(100, 0.1, np.float32)
    assert [t.text for t in SphinxTranscriber().transcribe([silence, instant])] == ["", ""]
    assert SphinxTranscriber().transcribe([]) == []


def test_only_words_are_left_of_a_hypothesis() -> None:
    assert plain_words("<s> a(2) <sil> can't [NOISE] ++UM++ record(3) </s>") == "a can't record"

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from engine.ingest.media import read_media
from engine.messages import Float32
from engine.transcribe.sphinx import SphinxTranscriber, plain_words
from engine.worker import Worker

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


def test_nothing_said_is_no_text() -> None:
    silence, instant = np.zeros(16_000, np.float32), np.full(100, 0.1, np.float32)
    assert [t.text for t in SphinxTranscriber().transcribe([silence, instant])] == ["", ""]
    assert SphinxTranscriber().transcribe([]) == []


def test_only_words_are_left_of_a_hypothesis() -> None:
    assert plain_words("<s> a(2) <sil> can't [NOISE] ++UM++ record(3) </s>") == "a can't record"

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from cberl.types import Float32
from engine.ingest.file import read_media
from engine.speech.whisper import WhisperTranscriber

SHARED = Path(os.environ.get("CBERL_SHARED", "../shared"))
MODEL = SHARED / "models/whisper-22words"
ACTED = SHARED / "data/ravdess"
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}

pytestmark = pytest.mark.skipif(
    not (MODEL.exists() and ACTED.exists()), reason=f"needs {MODEL} and {ACTED} (set CBERL_SHARED)"
)


def read(path: Path) -> Float32:
    async def main() -> Float32:
        return np.concatenate([chunk.pcm async for chunk in read_media(str(path))])

    return asyncio.run(main())


def test_acted_sentences_are_heard_word_for_word_and_silence_is_no_text() -> None:
    whisper = WhisperTranscriber(str(MODEL), device="cpu", compute_type="int8")
    clips = [read(ACTED / name) for name in ("03-01-01-01-01-01-01.flac", "03-01-05-01-02-01-04.flac")]
    heard = whisper.transcribe([*clips, np.zeros(16_000, np.float32), np.zeros(10, np.float32)])
    assert [t.text for t in heard] == [SENTENCES["01"], SENTENCES["02"], "", ""]
    assert all(t.language == "en" and t.source == "faster-whisper" for t in heard)
    assert heard[0].confidence is not None
    assert 0.5 < heard[0].confidence <= 1.0
    assert heard[2].confidence is None
    assert whisper.transcribe(clips[1:]) == heard[1:2]  # neither order nor company changes it

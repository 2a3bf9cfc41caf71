"""The bundled Whisper model on the demo conversation, and on real recordings where those are available."""

import asyncio
import os
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE, Float32
from engine.ingest.file import read_media
from engine.speech.transcriber import TranscriberError
from engine.speech.whisper import Decoded, WhisperTranscriber
from engine.speech.whisper_store import sha256
from testing.bundled_whisper import require_whisper
from testing.scripted_talk import turn

DATA = Path(os.environ.get("CBERL_SHARED", "../shared")) / "data"
NOISE = np.random.default_rng(0).normal(0, 0.02, 5 * SAMPLE_RATE).astype(np.float32)


@cache
def whisper() -> WhisperTranscriber:
    return WhisperTranscriber(require_whisper(), threads=1)


def heard(*clips: Float32) -> list[str]:
    return [it.text for it in whisper().transcribe(clips)]


def recorded(name: str) -> Float32:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs {path} (set CBERL_SHARED)")

    async def read() -> Float32:
        return np.concatenate([chunk.pcm async for chunk in read_media(str(path))])

    return asyncio.run(read())


def test_speech_becomes_text_with_case_and_punctuation() -> None:
    (transcript,) = whisper().transcribe([turn(1)])
    assert transcript.text.lower().startswith("i'm home")
    assert transcript.text[0].isupper()
    assert (transcript.language, transcript.source) == ("en", "whisper")
    assert transcript.confidence is not None
    assert 0.5 < transcript.confidence <= 1.0


def test_a_result_does_not_depend_on_its_batch() -> None:
    long = np.concatenate([turn(n) for n in range(1, 5)])  # more than one window
    clips = [turn(1), NOISE, long, turn(2), turn(3)[:1000], turn(3)]
    alone = [whisper().transcribe([clip])[0] for clip in clips]
    assert whisper().transcribe(clips) == alone
    assert whisper().transcribe(clips[::-1]) == alone[::-1]


def test_where_nothing_is_said_there_is_no_text() -> None:
    clipping = np.sign(np.sin(np.arange(15 * SAMPLE_RATE) * 440 * 2 * np.pi / SAMPLE_RATE)).astype(np.float32)
    silence = np.zeros(10 * SAMPLE_RATE, np.float32)
    assert heard(silence, NOISE, clipping, turn(1)[: SAMPLE_RATE // 50], silence[:0]) == [""] * 5


def test_a_sentence_that_loops_in_a_short_window_is_said_once() -> None:
    """Eight seconds of a telephone call: in a window of 10 s the decoder repeats its last sentence 16 times."""
    call = recorded("conversations/pyannote_sample.wav")
    text = heard(call[round(20.0 * SAMPLE_RATE) : round(28.0 * SAMPLE_RATE)])[0].lower()
    assert text.count("new jersey") <= 2


def test_what_cannot_have_been_said_is_decoded_again_in_the_full_window() -> None:
    usual = Decoded("Well, well, Joey.", -0.2, 0.1, 8, "en", complete=True, duration_s=5.0)
    assert not usual.doubtful
    for text in ("Well. Joey Trebbbbbbbbbbbbb", "Stop it. Stop it. Stop it. Stop it.", "word " * 60):
        assert replace(usual, text=text).doubtful
    assert replace(usual, text="Stop it. Stop it. Stop it. Stop it.").plausible
    assert not replace(usual, text="Stop it. Stop it. Stop it. Stop it.", logprob=-0.5).plausible


def test_more_than_thirty_seconds_are_heard_to_the_end() -> None:
    clip = np.concatenate([turn(n) for n in range(1, 15)])
    assert len(clip) > 35 * SAMPLE_RATE
    (text,) = heard(clip)
    (last,) = heard(turn(14))
    assert text.lower().split()[-2:] == last.lower().split()[-2:]


def test_acted_sentences_are_heard_word_for_word() -> None:
    names = ("03-01-01-01-01-01-01.flac", "03-01-05-01-02-01-04.flac")
    assert heard(*(recorded(f"ravdess/{name}") for name in names)) == [
        "Kids are talking by the door.",
        "Dogs are sitting by the door.",
    ]


def test_a_damaged_model_is_named_by_file_and_hash(tmp_path: Path) -> None:
    folder = shutil.copytree(require_whisper(), tmp_path / "model")
    os.truncate(folder / "model.bin", 1_000_000)
    with pytest.raises(TranscriberError, match=sha256(folder / "model.bin")) as refused:
        WhisperTranscriber(folder)
    assert str(folder / "model.bin") in str(refused.value)


class Polyglot:
    """The bundled English model, which claims to know languages: each clip after the first is German."""

    def __init__(self, model: Any) -> None:
        self.encode = model.encode
        self.prompts: list[list[int]] = []
        self._model = model

    def detect_language(self, encoded: Any) -> list[list[tuple[str, float]]]:
        clips = encoded.shape[0]
        return [[("<|en|>" if n == 0 else "<|de|>", 0.9), ("<|fr|>", 0.1)] for n in range(clips)]

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        self.prompts = prompts
        return self._model.generate(encoded, prompts, **options)


def test_a_multilingual_model_detects_the_language_of_each_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    polyglot = Polyglot(whisper()._model)
    monkeypatch.setattr(whisper(), "_model", polyglot)
    monkeypatch.setattr(whisper(), "multilingual", True)
    found = whisper().transcribe([turn(1), turn(2)])
    assert [it.language for it in found] == ["en", "de"]
    tokenizer = whisper()._tokenizer.tokenizer
    marks = [[tokenizer.id_to_token(token) for token in prompt] for prompt in polyglot.prompts]
    assert marks == [
        ["<|startoftranscript|>", language, "<|transcribe|>", "<|notimestamps|>"] for language in ("<|en|>", "<|de|>")
    ]

import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.speech.choose import choose_transcriber
from engine.speech.sphinx import SphinxTranscriber
from engine.speech.transcriber import TranscriberError
from engine.speech.whisper import WhisperTranscriber

MODEL = Path(os.environ.get("CBERL_SHARED", "../shared")) / "models/whisper-22words"


@pytest.mark.skipif(not MODEL.exists(), reason=f"needs {MODEL} (set CBERL_SHARED)")
def test_a_model_on_disk_is_used() -> None:
    transcriber, note = choose_transcriber("auto", str(MODEL))
    assert isinstance(transcriber, WhisperTranscriber)
    assert str(MODEL) in note


def test_without_a_hub_auto_falls_back_with_a_reason_and_whisper_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    transcriber, note = choose_transcriber("auto", "base.en")
    assert isinstance(transcriber, SphinxTranscriber)
    assert "cannot be reached" in note
    assert "\n" not in note
    with pytest.raises(TranscriberError, match=r"base\.en.*cannot be reached"):
        choose_transcriber("whisper", "base.en")


def test_an_offline_setting_is_obeyed_without_asking_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TranscriberError, match="HF_HUB_OFFLINE"):
        choose_transcriber("whisper", "no-such/model")


def test_a_directory_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranscriberError, match=tmp_path.name):
        choose_transcriber("whisper", str(tmp_path))
    transcriber, note = choose_transcriber("auto", str(tmp_path))
    assert isinstance(transcriber, SphinxTranscriber)
    assert tmp_path.name in note


def test_sphinx_can_be_asked_for() -> None:
    transcriber, note = choose_transcriber("sphinx", "unused")
    assert transcriber.kind == "process"
    assert "pocketsphinx" in note

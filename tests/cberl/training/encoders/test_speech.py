"""The whole training of the speech emotion network, on a few seconds of tones."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from cberl.training.encoders import speech
from cberl.training.encoders.speech import SpeechTraining, train_speech

RATE = 16_000
CONFIG = SpeechTraining(epochs=2, batch_size=4)


class Killed(BaseException):
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three actors, one per split; anger is high and joy is low."""
    folder = tmp_path / "ravdess"
    folder.mkdir()
    for actor in (1, 15, 18):
        for code, hz in (("05", 700), ("03", 150)):
            for repetition in ("01", "02"):
                time_s = np.arange(RATE) / RATE
                pcm = 0.3 * np.sin(2 * np.pi * (hz + actor) * time_s) * np.hanning(RATE)
                with wave.open(str(folder / f"03-01-{code}-01-01-{repetition}-{actor:02}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(RATE)
                    file.writeframes((pcm * 32767).astype("<i2").tobytes())
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "last.pt", weights_only=True)["average"]
    return state


def test_a_training_that_was_killed_and_resumed_gives_the_same_result(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = train_speech(data, tmp_path / "whole", CONFIG)
    assert {name: sum(part["support"].values()) for name, part in scores.items()} == {"dev": 4, "test": 4}
    calls = []

    def score_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed  # during the scoring at the end of the second epoch
        return real(*arguments)  # type: ignore[arg-type]

    real = speech.score
    with monkeypatch.context() as patched:
        patched.setattr(speech, "score", score_once)
        with pytest.raises(Killed):
            train_speech(data, tmp_path / "killed", CONFIG)
    again = train_speech(data, tmp_path / "killed", CONFIG)
    assert again == scores
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_refit_trains_on_dev_too_and_scores_test_only(data: Path, tmp_path: Path) -> None:
    scores = train_speech(data, tmp_path / "refit", SpeechTraining(epochs=2, batch_size=4, refit=True))
    assert set(scores) == {"test"}
    assert torch.load(tmp_path / "refit/best.pt", weights_only=True)["epoch"] == 1
    steps = weights(tmp_path / "refit")["n_averaged"]
    assert steps == 2 * 2  # eight clips: twice as many batches as without the dev speaker

"""`cberl train-encoder speech` as a process, on a few tones and sounds; and what its heads learn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cberl.encoders.bundle import speech_files
from cberl.encoders.speech_emotion import VOCAL_EVENTS, SpeechEncoder, SpeechHead
from cberl.training.encoders.speech_head import ActedStates, HeadTraining, accuracy, fit_head, with_events
from testing.command import MAIN
from testing.recordings import tone, write_wav

RATE = 16_000
CONFIG = HeadTraining(passes=2)


@pytest.fixture
def corpora(tmp_path: Path) -> list[str]:
    """Two actors of each corpus, whose pitch tells the emotion; laughs, coughs and noise."""
    names = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
    for n, name in enumerate(names):
        for actor in range(4):
            pcm = tone(120 + 60 * n + 5 * actor, 1.0)[None]
            code = {"angry": 5, "disgust": 7, "fear": 6, "happy": 3, "neutral": 1, "ps": 8, "sad": 4}[name]
            if actor < 2:
                write_wav(tmp_path / f"ravdess/03-01-{code:02}-01-01-01-{actor + 1:02}.wav", pcm)
            else:
                write_wav(tmp_path / f"tess/{'OY'[actor - 2]}AF_back_{name}.wav", pcm)
    rng = np.random.default_rng(0)
    rows = []
    for n, kind in enumerate([*["laughing", "crying", "sighing", "screaming", "panting", "coughing"] * 2]):
        write_wav(tmp_path / f"vocal/{kind}_{n}.wav", (0.1 * rng.standard_normal((1, RATE)) * (1 + n % 6)).clip(-1, 1))
        rows.append({"file": f"{kind}_{n}.flac", "label": kind, "speaker": str(n)})
    (tmp_path / "vocal/index.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_wav(tmp_path / "noise/rain.wav", 0.1 * rng.standard_normal((1, RATE)))
    return [
        *("--data", str(tmp_path / "ravdess"), "--tess", str(tmp_path / "tess"), "--vocal", str(tmp_path / "vocal")),
        *("--noise", str(tmp_path / "noise"), "--out", str(tmp_path / "run"), "--threads", "1"),
    ]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "train-encoder", "speech", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_training_writes_a_network_that_the_encoder_opens(corpora: list[str], shared: Path, tmp_path: Path) -> None:
    weights = shared / "models/whisper-tiny.en-encoder/model.safetensors"
    done = run([*corpora, "--whisper", str(weights)])
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert {"ravdess to tess", "tess to ravdess, degraded", "ravdess, people held out", "vocal_events"} <= set(scores)
    assert [file.name for file in speech_files(tmp_path / "run/onnx") if file.is_file()] == [
        "speech.onnx", "speech.json", "speech.safetensors",
    ]  # fmt: skip
    described = SpeechEncoder(tmp_path / "run/onnx").describe(tone(300, 1.0))
    assert described is not None
    assert json.loads((tmp_path / "run/onnx/speech.json").read_text())["scores"] == scores


def test_a_missing_corpus_is_one_sentence(corpora: list[str], tmp_path: Path, shared: Path) -> None:
    weights = shared / "models/whisper-tiny.en-encoder/model.safetensors"
    (tmp_path / "tess/OAF_back_sad.wav").rename(tmp_path / "tess/OAF_back_bored.wav")
    done = run([*corpora, "--whisper", str(weights)])
    assert done.returncode == 1
    assert "OAF_back_bored.wav is not a name of TESS" in done.stderr
    assert "Traceback" not in done.stderr


def acted(shift: float) -> ActedStates:
    """Six actors with three labels, whose voices differ more than their emotions; `shift` moves all voices."""
    rng = np.random.default_rng(0)
    emotion, voice = rng.standard_normal((7, 40)), 4 * rng.standard_normal((6, 40)) + shift
    actor, label = np.repeat(np.arange(6), 70), np.tile(np.repeat(np.arange(7), 10), 6)
    turns = emotion[label] + voice[actor] + 0.5 * rng.standard_normal((420, 40))
    return ActedStates(turns[:, None].astype(np.float32), label, np.array([f"a{n}" for n in actor]))


def test_a_head_recognises_emotions_of_voices_far_from_those_it_was_fitted_to() -> None:
    """Because each is normalised by its own past; raw states would be far outside."""
    head = fit_head(acted(0), CONFIG)
    assert accuracy(head, acted(0), CONFIG) > 70
    assert accuracy(head, acted(5), HeadTraining(passes=2, turns=(70, 70))) > 60  # chance is 14


def test_thresholds_of_events_hold_their_precision_for_people_held_out() -> None:
    rng = np.random.default_rng(0)
    kinds = [*VOCAL_EVENTS, "cough", ""]
    kind = np.array([kinds[n % len(kinds)] for n in range(700)])
    centres = {name: rng.standard_normal(40) * 1.5 for name in kinds}
    centres["cough"] = centres["sigh"]
    states = np.stack([centres[str(one)] + rng.standard_normal(40) for one in kind]).astype(np.float32)
    person = np.array([f"p{n % 50}" for n in range(700)])
    nothing = np.empty(0, np.float32)
    plain = SpeechHead(*(np.full(40, x, np.float32) for x in (0, 1)), nothing, nothing, nothing, nothing, nothing)
    head, scores = with_events(plain, states, kind, person, CONFIG)
    assert scores["laughter"]["recall"] > 90
    assert all(one["precision"] >= 95 for name, one in scores.items() if one["recall"] > 0)
    assert scores["sigh"]["recall"] < 60  # it sounds like a cough: rather missed than invented
    assert (head.event_probabilities(states[:1])[0] > head.event_threshold).sum() <= 1

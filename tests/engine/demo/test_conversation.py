"""The demo conversation matches its script, and the bundled recogniser understands it."""

import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from torchaudio.functional import edit_distance

import engine.demo
from cberl.labels import MELD
from engine.speech.whisper import WhisperTranscriber
from testing.bundled_whisper import require_whisper

DEMO = Path(engine.demo.__file__).parent
ROLL_S = 0.2  # audio that a turn detector keeps before and after a turn

Int16 = NDArray[np.int16]
Sidecar = dict[str, Any]


@pytest.fixture(scope="module")
def sidecar() -> Sidecar:
    loaded: Sidecar = json.loads((DEMO / "conversation.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def channels(sidecar: Sidecar) -> dict[str, Int16]:
    with av.open(str(DEMO / sidecar["audio"])) as container:
        assert container.streams.audio[0].rate == sidecar["sample_rate"] == 16_000
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    pcm = np.concatenate(blocks, axis=1).reshape(-1, 2).T  # (1, 2n) interleaved -> (2, n)
    assert pcm.shape[1] / 16_000 == pytest.approx(sidecar["duration_s"], abs=1e-3)
    return dict(zip(sidecar["channels"], pcm, strict=True))


def cut(pcm: Int16, start_s: float, end_s: float) -> Int16:
    return pcm[round(start_s * 16_000) : round(end_s * 16_000)]


def level_db(pcm: Int16) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(np.float64) ** 2) + 1e-9))


def test_two_people_alternate_through_six_emotions(sidecar: Sidecar) -> None:
    turns = sidecar["turns"]
    assert [turn["speaker"] for turn in turns] == ["maya", "tom"] * (len(turns) // 2)
    emotions = {turn["emotion"] for turn in turns}
    assert emotions <= set(MELD)
    assert len(emotions) >= 6


def test_sidecar_times_bound_the_speech(sidecar: Sidecar, channels: dict[str, Int16]) -> None:
    """Each turn is loud up to its edges, on its own channel only; every pause is long enough to end a turn."""
    turns = sidecar["turns"]
    for turn in turns:
        start_s, end_s = turn["start_s"], turn["end_s"]
        own = level_db(cut(channels[turn["speaker"]], start_s, end_s))
        other = next(pcm for name, pcm in channels.items() if name != turn["speaker"])
        assert own > level_db(cut(other, start_s, end_s)) + 30
        for edge_s in (start_s - 0.2, end_s):
            outside = level_db(cut(channels[turn["speaker"]], edge_s, edge_s + 0.2))
            assert own > outside + 30
            assert outside > 0  # a noise floor, not digital silence
    for before, after in zip(turns, turns[1:], strict=False):
        assert 0.69 <= after["start_s"] - before["end_s"] <= 1.21
    for name, pcm in channels.items():
        speech = np.zeros(len(pcm), bool)
        for turn in turns:
            if turn["speaker"] == name:
                speech[round(turn["start_s"] * 16_000) : round(turn["end_s"] * 16_000) + 16] = True
        assert np.abs(pcm[~speech]).max() < 50  # no speech outside the turns


def test_the_bundled_recogniser_understands_it(sidecar: Sidecar, channels: dict[str, Int16]) -> None:
    """Word error rate over all turns, cut as the engine cuts them."""
    clips = [
        cut(channels[turn["speaker"]], turn["start_s"] - ROLL_S, turn["end_s"] + ROLL_S).astype(np.float32) / 32_768
        for turn in sidecar["turns"]
    ]
    transcripts = WhisperTranscriber(require_whisper()).transcribe(clips)
    errors = words = 0
    for turn, transcript in zip(sidecar["turns"], transcripts, strict=True):
        said, heard = (re.findall(r"[a-z']+", text.lower()) for text in (turn["text"], transcript.text))
        errors += edit_distance(said, heard)
        words += len(said)
    assert words > 150
    assert errors / words <= 0.06

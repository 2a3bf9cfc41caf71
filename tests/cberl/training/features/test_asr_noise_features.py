"""Simulated errors of speech recognition: their rate by hand, and the real encoder's vectors of the text."""

import json
from pathlib import Path

import pytest
import torch

from cberl.data.asr_noise import AsrNoise
from cberl.data.corpus import detect
from cberl.data.dialogue import Dialogue, Line
from cberl.encoders.bundle import TEXT_ENCODER, unfitted_audio_config
from cberl.encoders.text import TextEncoder
from cberl.training.features.asr_noise_features import AsrNoiseFeatures, asr_corrupted, measured_error_rate
from cberl.training.features.corpus import corpus_features as encoded

SAID = ("We were on a break!", "You said that you would wait for me there", "How do you do", "I am so scared of it")


def dialogue(*texts: str) -> Dialogue:
    return Dialogue("one", tuple(Line("ab"[n % 2], text, 0, n, n + 1) for n, text in enumerate(texts)))


def test_the_error_rate_by_hand() -> None:
    written = [dialogue("How are you?", "Fine.")]
    assert measured_error_rate(written, [dialogue("how are you", "fine")]) == 0
    assert measured_error_rate(written, [dialogue("how you", "fine wine")]) == 2 / 4  # one deletion, one insertion


@pytest.mark.parametrize("asked", [0.1, 0.4])
def test_the_measured_rate_is_the_one_asked_for(asked: float) -> None:
    written = [dialogue(*SAID * 100)]
    corrupted = asr_corrupted(written, AsrNoise(SAID), asked)
    assert measured_error_rate(written, corrupted) == pytest.approx(asked, abs=0.05)
    assert asr_corrupted(written, AsrNoise(SAID), asked) == corrupted


def test_corrupted_features_are_encoded_once_and_only_the_text_changes(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "corpus.toml").write_text('name = "talks"\nlabels = ["neutral", "fear"]\n')
    for split in ("train", "dev"):
        lines = [
            {"conversation": split, "speaker": "ab"[n % 2], "start_s": n, "end_s": n + 0.9, "text": text}
            for n, text in enumerate(SAID)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(line | {"emotion": "fear"}) for line in lines))
    corpus, cache = detect(folder), tmp_path / "cache"
    clean = encoded(corpus, "dev", unfitted_audio_config(), cache)
    noise = AsrNoiseFeatures(corpus, "dev", cache)
    (noiseless, none), (corrupted, measured) = noise.features(clean, 0.0), noise.features(clean, 0.4)
    assert none == 0
    assert 0 < measured < 1
    assert torch.equal(corrupted.x["audio"], clean.x["audio"])
    assert (corrupted.x["text"] != clean.x["text"]).any(1).all()  # errors in past turns reach every later one
    encoder = TextEncoder(TEXT_ENCODER)
    (first,) = encoder.encode([encoder.prompt.build((), "a", "we were on a break")])
    assert torch.allclose(noiseless.x["text"][0], torch.from_numpy(first), atol=1e-5)
    files = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again, same = noise.features(clean, 0.4)
    assert torch.equal(again.x["text"], corrupted.x["text"])
    assert same == measured
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == files

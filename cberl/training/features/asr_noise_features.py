"""A split's text features with simulated errors of speech recognition."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torchaudio.functional import edit_distance

from cberl.data.asr_noise import AsrNoise
from cberl.data.corpus import Corpus
from cberl.data.dialogue import Dialogue
from cberl.data.features import FeatureSet, extract, features_about, load_features, save_features
from cberl.encoders.audio import AudioEncoder
from cberl.encoders.bundle import TEXT_ENCODER, unfitted_audio_config
from cberl.encoders.text import TextEncoder
from cberl.progress import progress
from cberl.storage import cache_file, fingerprint
from cberl.training.features.corpus import text_fingerprint

_MADE_BY = "asr-noise-2"  # changes when texts must be corrupted again


def asr_corrupted(
    dialogues: Sequence[Dialogue], noise: AsrNoise, word_error_rate: float, whisper_share: float = 0.0, seed: int = 0
) -> list[Dialogue]:
    """The same dialogues, every utterance corrupted at this rate (0..1).

    whisper_share: share of dialogues in Whisper's style (`AsrNoise.whisper`); the others are `AsrNoise.plain`.
    """
    rng = random.Random(seed)
    corrupted = []
    for one in dialogues:
        corrupt = noise.whisper if rng.random() < whisper_share else noise.plain
        lines = tuple(replace(line, text=corrupt(line.text, word_error_rate, rng)) for line in one.lines)
        corrupted.append(replace(one, lines=lines))
    return corrupted


def measured_error_rate(reference: Sequence[Dialogue], corrupted: Sequence[Dialogue]) -> float:
    """The word error rate, 0 or more, ignoring case and punctuation."""
    wrong = total = 0
    for one, other in zip(reference, corrupted, strict=True):
        for line, hypothesis in zip(one.lines, other.lines, strict=True):
            words = _words(line.text)
            wrong += edit_distance(words, _words(hypothesis.text))
            total += len(words)
    return wrong / max(total, 1)


class AsrNoiseFeatures:
    """A split's features by word error rate. Past turns, which are context, are corrupted at the same rate.

    whisper_share: share of dialogues in Whisper's style; the others have neither case nor punctuation.
    """

    def __init__(
        self, corpus: Corpus, split: str, cache: Path, text: Path = TEXT_ENCODER, whisper_share: float = 0.0
    ) -> None:
        self._corpus, self._split, self._cache, self._text = corpus, split, cache, text
        self._whisper_share = whisper_share

    def features(self, clean: FeatureSet, word_error_rate: float) -> tuple[FeatureSet, float]:
        """`clean` with its text corrupted at this rate (0..1), and the measured rate."""
        path = self._cached(word_error_rate)
        if not path.is_file():
            self._encode(word_error_rate, path)
        noisy = load_features(path)
        corrupted = replace(
            clean,
            x=clean.x | {"text": noisy.x["text"]},
            present=clean.present | {"text": noisy.present["text"]},
        )
        return corrupted, float(features_about(path)["word_error_rate"])

    def _cached(self, word_error_rate: float) -> Path:
        asked = [word_error_rate, self._whisper_share, _MADE_BY]
        made_from = [fingerprint(*self._corpus.files), text_fingerprint(self._text), *asked]
        return cache_file(self._cache, f"{self._corpus.name.lower()}-{self._split}-asr-corrupted", made_from)

    def _encode(self, word_error_rate: float, path: Path) -> None:
        reference = self._corpus.read(self._split)
        vocabulary = self._corpus.read("train" if "train" in self._corpus.splits else self._split)
        noise = AsrNoise(line.text for one in vocabulary for line in one.lines)
        corrupted = asr_corrupted(reference, noise, word_error_rate, self._whisper_share)
        with progress() as bar:
            name = f"encoding {self._split}, {word_error_rate:.0%} of words wrong"
            task = bar.add_task(name, total=sum(len(one.lines) for one in corrupted))
            encoder = TextEncoder(self._text, threads=torch.get_num_threads())
            encoded = extract(corrupted, encoder, AudioEncoder(unfitted_audio_config()), lambda: bar.advance(task))
        save_features(encoded, path, {"word_error_rate": str(measured_error_rate(reference, corrupted))})


Corrupt = Callable[[FeatureSet, float], tuple[FeatureSet, float]]  # `AsrNoiseFeatures.features`


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split()

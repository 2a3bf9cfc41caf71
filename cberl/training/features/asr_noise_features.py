"""A split's text as a recogniser might have heard it, encoded anew."""

import hashlib
import json
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
from cberl.data.features import FeatureSet, extract, features_about, fingerprint, load_features, save_features
from cberl.encoders.text import TextEncoder
from cberl.training.features.clip_encoders import UNSCALED
from cberl.training.features.corpus import TEXT_ENCODER, progress, text_fingerprint

_CORRUPTED_BY = "asr-noise-1"  # changes when texts must be corrupted anew


def misheard(dialogues: Sequence[Dialogue], noise: AsrNoise, word_error_rate: float, seed: int = 0) -> list[Dialogue]:
    """The same dialogues, every turn corrupted at this rate (0..1)."""
    rng = random.Random(seed)
    return [
        replace(
            one,
            lines=tuple(replace(line, text=noise.corrupt(line.text, word_error_rate, rng)) for line in one.lines),
        )
        for one in dialogues
    ]


def realised_error_rate(written: Sequence[Dialogue], heard: Sequence[Dialogue]) -> float:
    """Word errors a written word, 0..; case and punctuation do not count."""
    wrong = spoken = 0
    for one, other in zip(written, heard, strict=True):
        for line, corrupted in zip(one.lines, other.lines, strict=True):
            words = _words(line.text)
            wrong += edit_distance(words, _words(corrupted.text))
            spoken += len(words)
    return wrong / max(spoken, 1)


class NoisyText:
    """A split's text vectors by word error rate; past turns are as noisy as the current one."""

    def __init__(self, corpus: Corpus, split: str, cache: Path, text: Path = TEXT_ENCODER) -> None:
        self._corpus, self._split, self._cache, self._text = corpus, split, cache, text

    def features(self, clean: FeatureSet, word_error_rate: float) -> tuple[FeatureSet, float]:
        """`clean` with its text as it was heard at this rate (0..1), and the rate that came about."""
        path = self._cached(word_error_rate)
        if not path.is_file():
            self._encode(word_error_rate, path)
        noisy = load_features(path)
        heard = replace(
            clean,
            x=clean.x | {"text": noisy.x["text"]},
            present=clean.present | {"text": noisy.present["text"]},
        )
        return heard, float(features_about(path)["word_error_rate"])

    def _cached(self, word_error_rate: float) -> Path:
        made_from = [fingerprint(*self._corpus.files), text_fingerprint(self._text), word_error_rate, _CORRUPTED_BY]
        digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
        return self._cache / f"{self._corpus.name.lower()}-{self._split}-misheard-{digest}.safetensors"

    def _encode(self, word_error_rate: float, path: Path) -> None:
        written = self._corpus.read(self._split)
        said = self._corpus.read("train" if "train" in self._corpus.splits else self._split)
        heard = misheard(written, AsrNoise(line.text for one in said for line in one.lines), word_error_rate)
        with progress() as bar:
            name = f"encoding {self._split}, {word_error_rate:.0%} of words wrong"
            task = bar.add_task(name, total=sum(len(one.lines) for one in heard))
            encoder = TextEncoder(self._text, threads=torch.get_num_threads())
            encoded = extract(heard, encoder, UNSCALED, lambda: bar.advance(task))
        save_features(encoded, path, {"word_error_rate": str(realised_error_rate(written, heard))})


Misheard = Callable[[FeatureSet, float], tuple[FeatureSet, float]]  # NoisyText.features


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split()

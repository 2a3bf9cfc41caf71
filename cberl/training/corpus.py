"""MELD as features: encoded once, kept in a cache that knows what it was made from."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from cberl.checkpoint import WEIGHTS
from cberl.data.dialogue import Dialogue
from cberl.data.features import FeatureSet, extract, fingerprint, load_features, save_features
from cberl.data.meld import read_meld
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.normalize import fit_prior
from cberl.encoders.prosody import compress
from cberl.encoders.text import TextEncoder

TEXT_ENCODER = WEIGHTS / "text"


def fit_audio(dialogues: list[Dialogue]) -> AudioEncoderConfig:
    """The audio encoder's corpus prior, from training dialogues only."""
    raw = [line.prosody for dialogue in dialogues for line in dialogue.lines if line.prosody is not None]
    if not raw:
        return AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)
    mean, sd = fit_prior(np.stack([compress(numbers) for numbers in raw]))
    return AudioEncoderConfig(prior_mean=mean, prior_sd=sd)


def data_fingerprint(data: Path) -> str:
    """Hash of every file of the corpus that is read."""
    files = [data / f"{split}_sent_emo.csv" for split in ("train", "dev", "test")]
    return fingerprint(*files, data / "text_prosody.jsonl.gz")


def text_fingerprint(folder: Path = TEXT_ENCODER) -> str:
    return fingerprint(*TextEncoder(folder).files)


def meld_features(
    data: Path, split: str, audio: AudioEncoderConfig, cache: Path, text: Path = TEXT_ENCODER
) -> FeatureSet:
    """One split's features, from the cache if they were made from the same data by the same encoders."""
    made_from = json.dumps([data_fingerprint(data), text_fingerprint(text), asdict(audio), "features-1"])
    path = cache / f"meld-{split}-{_short_hash(made_from)}.safetensors"
    if not path.is_file():
        dialogues = read_meld(data, split)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"encoding {split}", total=sum(len(one.lines) for one in dialogues))
            features = extract(dialogues, TextEncoder(text), audio, lambda: progress.advance(task))
        save_features(features, path)
    return load_features(path)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

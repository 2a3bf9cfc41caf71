"""A corpus as features: encoded once, kept in a cache that knows what it was made from."""

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cberl.checkpoint import WEIGHTS
from cberl.data.clips import describe_clips
from cberl.data.corpus import Corpus
from cberl.data.dialogue import Dialogue
from cberl.data.features import FeatureSet, extract, fingerprint, load_features, save_features, widened
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig
from cberl.encoders.normalize import fit_prior
from cberl.encoders.prosody import PROSODY_NAMES, compress
from cberl.encoders.text import TextEncoder, encoder_files

TEXT_ENCODER = WEIGHTS / "text"
UNSCALED = AudioEncoderConfig((0.0,) * len(PROSODY_NAMES), (1.0,) * len(PROSODY_NAMES))
_DESCRIBED_BY = "prosody-1"  # changes when clips must be described anew

log = logging.getLogger(__name__)


def heard(corpus: Corpus, split: str, cache: Path, processes: int | None = None) -> list[Dialogue]:
    """A split's dialogues; lines that come as media clips are described, in parallel, and remembered in `cache`."""
    dialogues = corpus.read(split)
    clips = sum(line.clip is not None for one in dialogues for line in one.lines)
    if not clips:
        return dialogues
    with progress() as bar:
        task = bar.add_task(f"listening to {split}", total=clips)
        dialogues, problems = describe_clips(
            dialogues,
            AudioEncoder(UNSCALED).describe,
            _DESCRIBED_BY,
            cache,
            processes=processes or os.cpu_count() or 1,
            advance=lambda count: bar.advance(task, count),
        )
    for problem in problems:
        log.warning("without audio: %s", problem)
    return dialogues


def fit_audio(dialogues: list[Dialogue]) -> AudioEncoderConfig:
    """The audio encoder's corpus prior, from training dialogues only."""
    raw = [line.prosody for dialogue in dialogues for line in dialogue.lines if line.prosody is not None]
    if not raw:
        return UNSCALED
    mean, sd = fit_prior(np.stack([compress(numbers) for numbers in raw]))
    return AudioEncoderConfig(prior_mean=mean, prior_sd=sd)


def fitted_audio(corpus: Corpus, cache: Path) -> AudioEncoderConfig:
    """`fit_audio` on the training split, or on what there is."""
    return fit_audio(heard(corpus, "train" if "train" in corpus.splits else corpus.splits[0], cache))


def corpus_features(
    corpus: Corpus, split: str, audio: AudioEncoderConfig, cache: Path, text: Path = TEXT_ENCODER
) -> FeatureSet:
    """One split's features, from the cache if they were made from the same data by the same encoders.

    No corpus is heard by the speech network: what `audio` has beyond prosody is 0, as where it hears nothing.
    """
    heard_as, audio = audio, audio.prosody_only()
    made_from = [fingerprint(*corpus.files), text_fingerprint(text), asdict(audio), corpus.labels, _DESCRIBED_BY]
    digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    path = cache / f"{corpus.name.lower()}-{split}-{digest}.safetensors"
    if not path.is_file():
        dialogues = heard(corpus, split, cache)
        with progress() as bar:
            task = bar.add_task(f"encoding {split}", total=sum(len(one.lines) for one in dialogues))
            features = extract(dialogues, TextEncoder(text), audio, lambda: bar.advance(task))
        save_features(features, path)
    return widened(load_features(path), {"audio": heard_as.dim})


def text_fingerprint(folder: Path = TEXT_ENCODER) -> str:
    """Hash of the text encoder: a checkpoint runs only with the one it was trained on."""
    return fingerprint(*encoder_files(folder))


def progress() -> Progress:
    """A bar on stderr, so that stdout stays for results."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))

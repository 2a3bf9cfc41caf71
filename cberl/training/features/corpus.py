"""A corpus as features: encoded once, kept in a cache that knows what it was made from."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cberl.checkpoint import WEIGHTS
from cberl.data.clips import Sense, describe_clips
from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError, Dialogue
from cberl.data.features import FeatureSet, extract, fingerprint, load_features, save_features, widened
from cberl.encoders.audio import AudioEncoderConfig, scaled
from cberl.encoders.normalize import fit_prior
from cberl.encoders.text import TextEncoder, encoder_files
from cberl.encoders.visual import VisualEncoderConfig
from cberl.training.features.clip_encoders import UNSCALED, hearing, seeing, with_voice
from cberl.training.text.classifier import MINILM

TEXT_ENCODER = WEIGHTS / "text"
_DESCRIBED_BY = "prosody-1"  # changes when features must be made anew

log = logging.getLogger(__name__)


def perceived(
    corpus: Corpus,
    split: str,
    senses: Sequence[Sense],
    cache: Path,
    processes: int | None = None,
    tell: Callable[[str], None] = log.warning,
) -> list[Dialogue]:
    """A split's dialogues; lines that come as media clips are described, in parallel, and remembered in `cache`.

    `tell` gets a sentence for each clip that gave nothing.
    """
    dialogues = corpus.read(split)
    clips = _clips(dialogues)
    for sense in senses if clips else ():
        with progress() as bar:
            task = bar.add_task(f"looking for {sense.lacks}s in {split}", total=clips)
            dialogues, problems = describe_clips(
                dialogues,
                sense,
                cache,
                processes=processes or os.cpu_count() or 1,
                advance=partial(bar.advance, task),
            )
        for problem in problems:
            tell(f"without {sense.lacks}: {problem}")
    return dialogues


def fit_audio(dialogues: Sequence[Dialogue], unscaled: AudioEncoderConfig = UNSCALED) -> AudioEncoderConfig:
    """`unscaled` with the corpus's prior, from training dialogues only."""
    raw = [line.prosody for dialogue in dialogues for line in dialogue.lines if line.prosody is not None]
    if not raw:
        return unscaled
    mean, sd = fit_prior(np.stack([scaled(numbers) for numbers in raw]))
    return replace(unscaled, prior_mean=mean, prior_sd=sd)


def fitted_audio(
    corpus: Corpus, cache: Path, *, voices: bool = False, processes: int | None = None
) -> AudioEncoderConfig:
    """`fit_audio` on the training split, or on what there is; `voices`: the speech network hears the clips as well.

    Raises `DataError` where there is nothing to hear.
    """
    split = "train" if "train" in corpus.splits else corpus.splits[0]
    unscaled = with_voice() if voices else UNSCALED
    if voices:
        require_clips(corpus, split, "voices")
    # What gave nothing is told when the split is encoded.
    return fit_audio(perceived(corpus, split, [hearing(unscaled)], cache, processes, log.debug), unscaled)


def require_clips(corpus: Corpus, split: str, what: str) -> None:
    """Raises `DataError` where a corpus has no recordings to find `what` in."""
    if not _clips(corpus.read(split)):
        raise DataError(f"{corpus.folder} has no recordings, so there are no {what} in it: see docs/data.md")


def corpus_features(
    corpus: Corpus,
    split: str,
    audio: AudioEncoderConfig,
    cache: Path,
    text: Path = TEXT_ENCODER,
    visual: VisualEncoderConfig | None = None,
    processes: int | None = None,
) -> FeatureSet:
    """One split's features, from the cache if they were made from the same data by the same encoders.

    Without recordings nothing is heard by the speech network or seen: what `audio` has beyond prosody is 0, as where
    it hears nothing, and there is no visual modality.
    """
    wanted, recorded = audio, _clips(corpus.read(split)) > 0
    if not recorded or audio.features != "prosody+speech":
        audio = audio.prosody_only()
    if not recorded:
        visual = None
    made_from = [fingerprint(*corpus.files), text_fingerprint(text), asdict(audio), corpus.labels, _DESCRIBED_BY]
    digest = hashlib.sha256(json.dumps([*made_from, *([asdict(visual)] if visual else [])]).encode()).hexdigest()[:16]
    path = cache / f"{corpus.name.lower()}-{split}-{digest}.safetensors"
    if not path.is_file():
        dialogues = perceived(corpus, split, senses_of(audio, visual), cache, processes)
        with progress() as bar:
            task = bar.add_task(f"encoding {split}", total=sum(len(one.lines) for one in dialogues))
            encoder = TextEncoder(text, threads=torch.get_num_threads())
            features = extract(dialogues, encoder, audio, lambda: bar.advance(task), visual=visual is not None)
        save_features(features, path)
    return widened(load_features(path), {"audio": wanted.dim})


def senses_of(audio: AudioEncoderConfig, visual: VisualEncoderConfig | None) -> list[Sense]:
    """How a corpus's clips are perceived for these encoders."""
    return [hearing(audio), *([seeing(visual)] if visual else [])]


def _clips(dialogues: Sequence[Dialogue]) -> int:
    return sum(line.clip is not None for one in dialogues for line in one.lines)


def text_fingerprint(folder: Path = TEXT_ENCODER) -> str:
    """Hash of the text encoder: a checkpoint runs only with the one it was trained on."""
    return fingerprint(*encoder_files(folder))


def text_name(folder: Path) -> str:
    """What a text encoder was fine-tuned from, its size, and how its own head does, which tells two of a base apart."""
    network, _, file = encoder_files(folder)
    about = json.loads(file.read_text())
    base, dev = about["training"].get("base", MINILM), about["dev"]
    name = "all-MiniLM-L6-v2" if base == MINILM else Path(base).name
    own = f"{dev['weighted_f1']:.1f} weighted and {dev['macro_f1']:.1f} macro F1 on dev by its own head"
    return f"{name}, {network.stat().st_size / 1e6:.0f} MB, {own}"


def progress() -> Progress:
    """A bar on stderr, so that stdout stays for results."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))

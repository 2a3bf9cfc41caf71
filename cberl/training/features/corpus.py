"""The features of a corpus, encoded once and kept in a cache that is named by what they were made from."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cberl.data.clip_tasks import ClipEncoder
from cberl.data.clips import encode_clips
from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError, Dialogue
from cberl.data.features import FeatureSet, extract, load_features, save_features, widened
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import TEXT_ENCODER, open_audio_encoder, unfitted_audio_config
from cberl.encoders.normalize import fit_prior
from cberl.encoders.prosody import PROSODY_NAMES, compress
from cberl.encoders.text import TextEncoder, encoder_files
from cberl.encoders.visual import VisualEncoderConfig
from cberl.progress import progress
from cberl.storage import cache_file, fingerprint
from cberl.training.features.clip_encoders import audio_clip_encoder, face_clip_encoder
from cberl.training.text.classifier import MINILM

_MADE_BY = "prosody-1"  # changes when features must be made again

log = logging.getLogger(__name__)


def with_clip_features(
    corpus: Corpus,
    split: str,
    encoders: Sequence[ClipEncoder],
    cache: Path,
    processes: int | None = None,
    on_ray: bool = False,
    report: Callable[[str], None] = log.warning,
) -> list[Dialogue]:
    """A split's dialogues, with the features of their clips: computed in parallel and kept in the folder `cache`.

    processes: None = one per core; not used `on_ray`. `report` is called with a sentence for each clip that has no
    features.
    """
    dialogues = corpus.read(split)
    clips = _clip_count(dialogues)
    for encoder in encoders if clips else ():
        with progress() as bar:
            task = bar.add_task(f"encoding the {encoder.medium} of {split}", total=clips)
            dialogues, problems = encode_clips(
                dialogues,
                encoder,
                cache,
                processes=processes or os.cpu_count() or 1,
                on_ray=on_ray,
                advance=partial(bar.advance, task),
            )
        for problem in problems:
            report(f"without {encoder.medium}: {problem}")
    return dialogues


def fit_audio(dialogues: Sequence[Dialogue], unfitted: AudioEncoderConfig) -> AudioEncoderConfig:
    """`unfitted` with the prior of the prosody of these dialogues, which should be training data."""
    raw = [line.prosody for dialogue in dialogues for line in dialogue.lines if line.prosody is not None]
    if not raw:
        return unfitted
    mean, sd = fit_prior(compress(np.stack(raw)[:, : len(PROSODY_NAMES)]))
    return replace(unfitted, prior_mean=mean, prior_sd=sd)


def fitted_audio(
    corpus: Corpus,
    cache: Path,
    *,
    speech_emotion: bool = False,
    processes: int | None = None,
    on_ray: bool = False,
) -> AudioEncoderConfig:
    """`fit_audio` on the training split, or on the first split if there is none.

    With `speech_emotion`, the bundled network reads the corpus's own recordings as well. Raises `DataError` if there
    are none.
    """
    split = "train" if "train" in corpus.splits else corpus.splits[0]
    unfitted = unfitted_audio_config(speech_emotion=speech_emotion)
    if speech_emotion:
        require_clips(corpus, split)
    # Clips without features are reported when the split is encoded.
    encoder = audio_clip_encoder(unfitted)
    return fit_audio(with_clip_features(corpus, split, [encoder], cache, processes, on_ray, log.debug), unfitted)


def require_clips(corpus: Corpus, split: str) -> None:
    """Raises `DataError` for a corpus without recordings."""
    if not _clip_count(corpus.read(split)):
        raise DataError(f"{corpus.folder} has no recordings to encode: see docs/data.md")


def corpus_features(
    corpus: Corpus,
    split: str,
    audio: AudioEncoderConfig,
    cache: Path,
    text: Path = TEXT_ENCODER,
    visual: VisualEncoderConfig | None = None,
    processes: int | None = None,
    face_detector: Path | None = None,
    on_ray: bool = False,
) -> FeatureSet:
    """One split's features, from the cache if they were made from the same data by the same encoders.

    For a corpus without recordings, features of `audio` beyond prosody are 0, as where the speech emotion network gives
    no result, and there is no visual modality. face_detector: YuNet's ONNX file; None = the bundled cascade.
    """
    wanted, recorded = audio, _clip_count(corpus.read(split)) > 0
    if not recorded or audio.features != "prosody+speech":
        audio = audio.prosody_only()
    if not recorded:
        visual = None
    made_from = [fingerprint(*corpus.files), text_fingerprint(text), asdict(audio), corpus.labels, _MADE_BY]
    made_from += [asdict(visual)] if visual else []
    made_from += [fingerprint(face_detector)] if visual and face_detector else []
    path = cache_file(cache, f"{corpus.name.lower()}-{split}", made_from)
    if not path.is_file():
        encoders = [audio_clip_encoder(audio), *([face_clip_encoder(visual, face_detector)] if visual else [])]
        dialogues = with_clip_features(corpus, split, encoders, cache, processes, on_ray)
        with progress() as bar:
            task = bar.add_task(f"encoding {split}", total=sum(len(one.lines) for one in dialogues))
            encoder = TextEncoder(text, threads=torch.get_num_threads())
            opened = open_audio_encoder(audio)
            features = extract(dialogues, encoder, opened, lambda: bar.advance(task), visual=visual is not None)
        save_features(features, path)
    return widened(load_features(path), {"audio": wanted.dim})


def _clip_count(dialogues: Sequence[Dialogue]) -> int:
    return sum(line.clip is not None for one in dialogues for line in one.lines)


def text_fingerprint(folder: Path = TEXT_ENCODER) -> str:
    """The digest by which a checkpoint identifies its text encoder. Raises `EncoderError`."""
    return fingerprint(*encoder_files(folder))


def text_name(folder: Path) -> str:
    """The base of a text encoder, its size, and the scores of its own head, which distinguish two with one base."""
    network, _, file = encoder_files(folder)
    about = json.loads(file.read_text())
    base, dev = about["training"].get("base", MINILM), about["dev"]
    name = "all-MiniLM-L6-v2" if base == MINILM else Path(base).name
    own = f"{dev['weighted_f1']:.1f} weighted and {dev['macro_f1']:.1f} macro F1 on dev by its own head"
    return f"{name}, {network.stat().st_size / 1e6:.0f} MB, {own}"

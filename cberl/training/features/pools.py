"""Pools for a composed corpus: what the networks that come along say of voices and faces they were not trained on.

The speech network heard RAVDESS's actors 1 to 17; the expression network saw nine tenths of FER2013's Training part.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet, fingerprint
from cberl.data.fer2013 import PUBLIC_TEST, TRAINING, Faces, read_fer2013, split_faces
from cberl.data.ravdess import SAMPLE_RATE, read_ravdess
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.log_ratio import evidence
from cberl.encoders.onnx import network_files
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.visual import VisualEncoderConfig
from cberl.labels import MELD
from cberl.training.encoders.expression import ExpressionTraining
from cberl.training.encoders.speech_augment import VoiceAugmentation, voice
from cberl.training.features.clip_encoders import EXPRESSION, SPEECH, with_face, with_voice
from cberl.training.features.compose import ComposeConfig, Pool, Pools, voice_prior
from cberl.training.features.corpus import progress

ACTORS = {"train": (18, 19), "dev": (20,)}  # no voice on two sides
COPIES = 10  # of a clip, each altered anew: a call is no studio
_MADE_BY = "pools-1"  # changes when pools must be made anew


def read_pools(
    config: ComposeConfig,
    side: str,
    labels: Sequence[str],
    cache: Path,
    ravdess: Path | None = None,
    fer2013: Path | None = None,
) -> Pools:
    """What `config` needs, for "train" or "dev": no speaker and no picture is in both. Raises `DataError`."""
    unknown = [label for label in labels if label not in MELD]
    if config.wanted and unknown:
        raise DataError(f"the pools do not show {', '.join(unknown)}: take the recipe real")
    pools: dict[str, Pool] = {}
    if config.voice:
        if ravdess is None:
            raise DataError("the recipe joins voices: give --ravdess FOLDER, or take the recipe real")
        pools["voice"] = _as_labelled(_voices(ravdess, side, cache), labels)
    if config.face:
        if fer2013 is None:
            raise DataError("the recipe joins faces: give --fer2013 FILE.npz, or take the recipe real")
        pools["face"] = _as_labelled(_faces(fer2013, side, cache), labels)
    return pools


def composed_encoders(
    audio: AudioEncoderConfig, pools: Pools, config: ComposeConfig, train: FeatureSet
) -> tuple[AudioEncoderConfig, VisualEncoderConfig | None]:
    """How live input must be encoded to mean what it means in the composed corpus: `audio` with a voice, and a face."""
    if "voice" in pools:
        mean, sd = voice_prior(pools["voice"], train.label.numpy(), config.mismatch)
        audio = replace(
            audio,
            prior_mean=[*audio.prior_mean, *mean],
            prior_sd=[*audio.prior_sd, *sd],
            features="prosody+speech",
            speech_sha256=with_voice().speech_sha256,
        )
    return audio, with_face() if "face" in pools else None


def unseen_faces(path: Path, side: str) -> Faces:
    """ "train": the tenth of Training that was kept from the network; "dev": PublicTest without copies of Training."""
    training = read_fer2013(path, TRAINING)
    if side == "train":
        return split_faces(training, ExpressionTraining().dev_share, seed=0)[1]
    known = {picture.tobytes() for picture in training.pixels}
    test = read_fer2013(path, PUBLIC_TEST)
    return test.at([row for row, picture in enumerate(test.pixels) if picture.tobytes() not in known])


def _voices(folder: Path, side: str, cache: Path) -> Pool:
    config = VoiceAugmentation()
    files = sorted(path for actor in ACTORS[side] for path in folder.glob(f"03-01-*-{actor:02}.*"))
    made_from = [fingerprint(*files, *network_files(SPEECH, "speech")), repr(config), COPIES]
    path = _place(cache, f"voices-{side}", made_from)
    if path.is_file():
        return _load(path)
    clips, encoder, rng = read_ravdess(folder, ACTORS[side]), SpeechEncoder(SPEECH), np.random.default_rng(0)
    rows = []
    with progress() as bar:
        for clip in bar.track(clips, description=f"voices for {side}"):
            lengths = np.round(rng.uniform(*config.crop_s, COPIES) * SAMPLE_RATE).astype(int)
            heard = [encoder.describe(voice(clip.pcm, int(length), config, rng)) for length in lengths]
            rows += [(row, clip.label) for row in heard if row is not None]
    opinions = evidence(np.stack([row[-len(MELD) :] for row, _ in rows]))
    return _kept(Pool(opinions, np.array([label for _, label in rows])), path)


def _faces(file: Path, side: str, cache: Path) -> Pool:
    path = _place(cache, f"faces-{side}", [fingerprint(file, *network_files(EXPRESSION, "expression"))])
    if path.is_file():
        return _load(path)
    faces, encoder = unseen_faces(file, side), ExpressionEncoder(EXPRESSION)
    with progress() as bar:
        parts = np.array_split(faces.pixels, -(-len(faces) // 64))
        seen = [encoder.encode(part)[1] for part in bar.track(parts, description=f"faces for {side}")]
    return _kept(Pool(evidence(np.concatenate(seen)), faces.labels), path)


def _as_labelled(pool: Pool, labels: Sequence[str]) -> Pool:
    """With the corpus's own indices; what it has no label for is left out."""
    index: NDArray[np.int64] = np.array([labels.index(name) if name in labels else -1 for name in MELD])
    label = index[pool.label]
    missing = [name for n, name in enumerate(labels) if n not in label]
    if missing:
        raise DataError(f"the pool shows no {', '.join(missing)}: is the data complete?")
    return Pool(pool.evidence[label >= 0], label[label >= 0])


def _place(cache: Path, name: str, made_from: list[object]) -> Path:
    digest = hashlib.sha256(json.dumps([_MADE_BY, *made_from]).encode()).hexdigest()[:16]
    return cache / f"{name}-{digest}.safetensors"


def _kept(pool: Pool, path: Path) -> Pool:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file({"evidence": pool.evidence, "label": pool.label}, unfinished)
    unfinished.replace(path)
    return pool


def _load(path: Path) -> Pool:
    arrays = load_file(path)
    return Pool(arrays["evidence"], arrays["label"])

"""Pools for a composed corpus: clips and pictures with scores of networks that were not trained on them.

The speech emotion head that ships has heard all of RAVDESS, so clips are scored by heads that never heard their actor.
The expression network was trained on nine tenths of FER2013's Training part.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cberl.data.acted_speech import read_ravdess
from cberl.data.dialogue import DataError
from cberl.data.fer2013 import PUBLIC_TEST, TRAINING, Faces, read_fer2013, split_faces
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import EXPRESSION, SPEECH, bundled_visual_config, with_speech_emotion
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.log_ratio import log_ratio_scores
from cberl.encoders.visual import VisualEncoderConfig
from cberl.labels import MELD
from cberl.onnx import network_files
from cberl.progress import progress
from cberl.storage import cache_file, fingerprint, replacing
from cberl.training.encoders.expression import ExpressionTraining
from cberl.training.encoders.speech_head import HeadTraining
from cberl.training.features.compose import ComposeConfig, FacePool, Pools
from cberl.training.features.speech_pool import SpeechPool, states_of_clips

DEV_SHARE = 7  # every seventh actor, at least one, is on the side "dev"
_MADE_BY = "pools-3"  # changes when pools must be made again


def read_pools(
    config: ComposeConfig,
    side: str,
    labels: Sequence[str],
    cache: Path,
    ravdess: Path | None = None,
    fer2013: Path | None = None,
) -> Pools:
    """The pools that `config` needs; `side`: "train" or "dev", which share no speaker and no picture.

    Raises `DataError`.
    """
    unknown = [label for label in labels if label not in MELD]
    if (config.voice or config.face) and unknown:
        raise DataError(f"the pools have no {', '.join(unknown)}: use the recipe real")
    voice, face = None, None
    if config.voice:
        if ravdess is None:
            raise DataError("the recipe needs speech emotion scores: give --ravdess FOLDER, or use the recipe real")
        pool = _speech_pool(ravdess, side, cache)
        kept, label = _as_labelled(pool.label, labels)
        voice = replace(pool, states=pool.states[kept], label=label, actor=pool.actor[kept])
    if config.face:
        if fer2013 is None:
            raise DataError("the recipe needs face scores: give --fer2013 FILE.npz, or use the recipe real")
        faces = _face_pool(fer2013, side, cache)
        kept, label = _as_labelled(faces.label, labels)
        face = FacePool(faces.scores[kept], label)
    return Pools(voice, face)


def composed_encoders(
    audio: AudioEncoderConfig, config: ComposeConfig
) -> tuple[AudioEncoderConfig, VisualEncoderConfig | None]:
    """The encoders of live input for a network trained on the composed corpus; `audio` is that of the real corpus."""
    return (
        with_speech_emotion(audio) if config.voice else audio,
        bundled_visual_config() if config.face else None,
    )


def save_pools(pools: Pools, path: Path) -> None:
    """Writes one safetensors file."""
    arrays = {
        f"{kind}.{it.name}": np.ascontiguousarray(getattr(pool, it.name))
        for kind, pool in (("voice", pools.voice), ("face", pools.face))
        if pool is not None
        for it in fields(pool)
    }
    with replacing(path) as unfinished:
        save_file(arrays, unfinished)


def load_pools(path: Path) -> Pools:
    """What `save_pools` wrote."""
    arrays = load_file(path)

    def of(kind: str) -> dict[str, NDArray[np.generic]]:
        return {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{kind}.")}

    return Pools(
        SpeechPool(**of("voice")) if of("voice") else None,  # type: ignore[arg-type]
        FacePool(**of("face")) if of("face") else None,  # type: ignore[arg-type]
    )


def sides(actors: Sequence[str]) -> dict[str, list[str]]:
    """The actors of each side; the last ones are on "dev"."""
    dev = max(1, len(actors) // DEV_SHARE)
    return {"train": list(actors[:-dev]), "dev": list(actors[-dev:])}


def unseen_faces(path: Path, side: str) -> Faces:
    """Pictures that the expression network was not trained on.

    "train": the tenth of Training that was held out; "dev": PublicTest without copies of pictures in Training.
    """
    training = read_fer2013(path, TRAINING)
    if side == "train":
        return split_faces(training, ExpressionTraining().dev_share, seed=0)[1]
    known = {picture.tobytes() for picture in training.pixels}
    test = read_fer2013(path, PUBLIC_TEST)
    return test.at([row for row, picture in enumerate(test.pixels) if picture.tobytes() not in known])


def _speech_pool(folder: Path, side: str, cache: Path) -> SpeechPool:
    network, config = network_files(SPEECH, "speech")[0], HeadTraining()
    made_from = fingerprint(*sorted(folder.glob("03-01-*")), network)
    path = cache_file(cache, f"speech-pool-{side}", [_MADE_BY, made_from, repr(config)])
    if not path.is_file():
        acted = states_of_clips(read_ravdess(folder), network, cache, made_from)
        wanted = sides(sorted({*map(str, acted.actor)}))[side]
        save_pools(Pools(voice=SpeechPool.of(acted, wanted, config)), path)
    pool = load_pools(path).voice
    assert pool is not None
    return pool


def _face_pool(file: Path, side: str, cache: Path) -> FacePool:
    made_from = [_MADE_BY, fingerprint(file, *network_files(EXPRESSION, "expression"))]
    path = cache_file(cache, f"faces-{side}", made_from)
    if not path.is_file():
        faces, encoder = unseen_faces(file, side), ExpressionEncoder(EXPRESSION)
        with progress() as bar:
            parts = np.array_split(faces.pixels, -(-len(faces) // 64))
            chances = [encoder.encode(part)[1] for part in bar.track(parts, description=f"face scores for {side}")]
        save_pools(Pools(face=FacePool(log_ratio_scores(np.concatenate(chances)), faces.labels)), path)
    pool = load_pools(path).face
    assert pool is not None
    return pool


def _as_labelled(label: NDArray[np.int64], labels: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(which rows of labels of MELD have one of `labels`, bool[n]; their indices into `labels`)."""
    index: NDArray[np.int64] = np.array([labels.index(name) if name in labels else -1 for name in MELD])
    found = index[label]
    missing = [name for n, name in enumerate(labels) if n not in found]
    if missing:
        raise DataError(f"the pool has no {', '.join(missing)}: is the data complete?")
    return found >= 0, found[found >= 0]

"""Pools for a composed corpus: scores of the bundled networks for clips and pictures that they were not trained on.

The speech emotion network was trained on RAVDESS's actors 1 to 17, the expression network on nine tenths of FER2013's
Training part.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet
from cberl.data.fer2013 import PUBLIC_TEST, TRAINING, Faces, read_fer2013, split_faces
from cberl.data.ravdess import read_ravdess
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import EXPRESSION, SPEECH, bundled_visual_config, unfitted_audio_config
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.log_ratio import log_ratio_scores
from cberl.encoders.onnx import network_files
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.visual import VisualEncoderConfig
from cberl.labels import MELD
from cberl.progress import progress
from cberl.storage import cache_file, fingerprint, replacing
from cberl.training.encoders.expression import ExpressionTraining
from cberl.training.encoders.speech_augment import SpeechAugmentation, augment_speech
from cberl.training.features.compose import ComposeConfig, Pool, Pools, speech_emotion_prior
from cberl.types import SAMPLE_RATE

ACTORS = {"train": (18, 19), "dev": (20,)}  # no speaker is on both sides
COPIES = 10  # of each clip, each augmented differently, since a call does not sound like a studio
_MADE_BY = "pools-2"  # changes when pools must be made again


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
    if config.wanted and unknown:
        raise DataError(f"the pools have no {', '.join(unknown)}: use the recipe real")
    pools: dict[str, Pool] = {}
    if config.voice:
        if ravdess is None:
            raise DataError("the recipe needs speech emotion scores: give --ravdess FOLDER, or use the recipe real")
        pools["voice"] = _as_labelled(_speech_emotion_pool(ravdess, side, cache), labels)
    if config.face:
        if fer2013 is None:
            raise DataError("the recipe needs face scores: give --fer2013 FILE.npz, or use the recipe real")
        pools["face"] = _as_labelled(_face_pool(fer2013, side, cache), labels)
    return pools


def composed_encoders(
    audio: AudioEncoderConfig, pools: Pools, config: ComposeConfig, train: FeatureSet
) -> tuple[AudioEncoderConfig, VisualEncoderConfig | None]:
    """The encoders of live input for a network trained on the composed corpus.

    `audio` is that of the real corpus; with a pool "voice", speech emotion scores and their prior are added.
    """
    if "voice" in pools:
        mean, sd = speech_emotion_prior(pools["voice"], train.label.numpy(), config.mismatch)
        audio = replace(
            audio,
            prior_mean=[*audio.prior_mean, *mean],
            prior_sd=[*audio.prior_sd, *sd],
            features="prosody+speech",
            speech_sha256=unfitted_audio_config(speech_emotion=True).speech_sha256,
        )
    return audio, bundled_visual_config() if "face" in pools else None


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


def _speech_emotion_pool(folder: Path, side: str, cache: Path) -> Pool:
    config = SpeechAugmentation()
    files = sorted(path for actor in ACTORS[side] for path in folder.glob(f"03-01-*-{actor:02}.*"))
    made_from = [_MADE_BY, fingerprint(*files, *network_files(SPEECH, "speech")), repr(config), COPIES]
    path = cache_file(cache, f"speech-emotion-{side}", made_from)
    if path.is_file():
        return _load(path)
    clips, encoder, rng = read_ravdess(folder, ACTORS[side]), SpeechEncoder(SPEECH), np.random.default_rng(0)
    rows = []
    with progress() as bar:
        for clip in bar.track(clips, description=f"speech emotion scores for {side}"):
            lengths = np.round(rng.uniform(*config.crop_s, COPIES) * SAMPLE_RATE).astype(int)
            encoded = [encoder.describe(augment_speech(clip.pcm, int(length), config, rng)) for length in lengths]
            rows += [(row, clip.label) for row in encoded if row is not None]
    scores = log_ratio_scores(np.stack([row[-len(MELD) :] for row, _ in rows]))
    return _saved(Pool(scores, np.array([label for _, label in rows])), path)


def _face_pool(file: Path, side: str, cache: Path) -> Pool:
    made_from = [_MADE_BY, fingerprint(file, *network_files(EXPRESSION, "expression"))]
    path = cache_file(cache, f"faces-{side}", made_from)
    if path.is_file():
        return _load(path)
    faces, encoder = unseen_faces(file, side), ExpressionEncoder(EXPRESSION)
    with progress() as bar:
        parts = np.array_split(faces.pixels, -(-len(faces) // 64))
        probabilities = [encoder.encode(part)[1] for part in bar.track(parts, description=f"face scores for {side}")]
    return _saved(Pool(log_ratio_scores(np.concatenate(probabilities)), faces.labels), path)


def _as_labelled(pool: Pool, labels: Sequence[str]) -> Pool:
    """With indices into the corpus's `labels`, and without rows of other labels."""
    index: NDArray[np.int64] = np.array([labels.index(name) if name in labels else -1 for name in MELD])
    label = index[pool.label]
    missing = [name for n, name in enumerate(labels) if n not in label]
    if missing:
        raise DataError(f"the pool has no {', '.join(missing)}: is the data complete?")
    return Pool(pool.scores[label >= 0], label[label >= 0])


def _saved(pool: Pool, path: Path) -> Pool:
    with replacing(path) as unfinished:
        save_file({"scores": pool.scores, "label": pool.label}, unfinished)
    return pool


def _load(path: Path) -> Pool:
    arrays = load_file(path)
    return Pool(arrays["scores"], arrays["label"])

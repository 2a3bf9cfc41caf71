"""A held-out split composed with speech emotion and faces (see `compose`), to evaluate all modalities together."""

from dataclasses import replace
from pathlib import Path

from cberl.checkpoint import Checkpoint
from cberl.data.corpus import Corpus
from cberl.data.features import FeatureSet, widened
from cberl.encoders.bundle import TEXT_ENCODER, encoder_configs
from cberl.training.features.compose import ComposeConfig, Pools, compose
from cberl.training.features.corpus import corpus_features
from cberl.training.features.pools import read_pools

EVERYWHERE = ComposeConfig(voice=1, face=1, missing=0)


def held_out_pools(corpus: Corpus, cache: Path, ravdess: Path, fer2013: Path) -> Pools:
    """Speakers and pictures that neither the networks that score them nor CBERL were trained on. Raises `DataError`."""
    return read_pools(EVERYWHERE, "dev", corpus.labels, cache, ravdess, fer2013)


def composed_split(
    checkpoint: Checkpoint,
    corpus: Corpus,
    split: str,
    pools: Pools,
    cache: Path,
    text: Path = TEXT_ENCODER,
    config: ComposeConfig = EVERYWHERE,
) -> FeatureSet:
    """The split with scores from `pools` in every utterance, for the modalities that this checkpoint reads.

    Raises `CheckpointError`.
    """
    audio = encoder_configs(checkpoint.name, checkpoint.encoders).audio
    dims = checkpoint.model.config.modality_dims
    plain = corpus_features(corpus, split, audio.prosody_only(), cache, text)
    readable = replace(
        config,
        voice=config.voice * (audio.features == "prosody+speech"),
        face=config.face * ("visual" in dims),
    )
    return widened(compose(plain, pools, readable, seed=0), dims)

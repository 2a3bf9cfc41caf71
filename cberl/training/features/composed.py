"""A held-out split with voices and faces joined: what a network does with all it can read, where no corpus has it."""

from dataclasses import replace
from pathlib import Path

from cberl.checkpoint import Checkpoint
from cberl.data.corpus import Corpus
from cberl.data.features import FeatureSet, widened
from cberl.encoders.audio import AudioEncoderConfig
from cberl.training.features.compose import ComposeConfig, Pools, compose
from cberl.training.features.corpus import TEXT_ENCODER, corpus_features
from cberl.training.features.pools import read_pools

EVERYWHERE = ComposeConfig(voice=1, face=1, missing=0)


def held_out_pools(corpus: Corpus, cache: Path, ravdess: Path, fer2013: Path) -> Pools:
    """A voice and pictures that neither the networks that read them nor CBERL learnt from. Raises `DataError`."""
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
    """The split with a voice and a face of `pools` in every utterance, as far as this checkpoint reads them."""
    audio = AudioEncoderConfig(**checkpoint.encoders["audio"])
    dims = checkpoint.model.config.modality_dims
    hears, sees = audio.features == "prosody+speech", "visual" in dims
    plain = corpus_features(corpus, split, audio.prosody_only(), cache, text)
    readable = replace(config, voice=config.voice * hears, face=config.face * sees)
    return widened(compose(plain, pools, readable, audio, seed=0), dims)

"""What all runs on one corpus are trained on: encoded once, and saved for other processes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet, features_about, load_features, save_features
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import TEXT_ENCODER, bundled_visual_config
from cberl.encoders.visual import VisualEncoderConfig
from cberl.storage import fingerprint
from cberl.training.features.asr_noise_features import AsrNoiseFeatures
from cberl.training.features.compose import ComposeConfig, Pools
from cberl.training.features.corpus import corpus_features, fitted_audio, require_clips, text_fingerprint
from cberl.training.features.pools import load_pools, read_pools, save_pools

POOLS = "pools.safetensors"
SPLITS = ("train", "dev")
WHISPER_SHARE = 0.75  # of the ASR-corrupted dialogues; the rest is as other recognisers write


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """A corpus's features, the configuration of their encoders, where they are from, and what recipes add to them."""

    labels: tuple[str, ...]
    train: FeatureSet
    dev: FeatureSet
    audio: AudioEncoderConfig
    text_sha256: str
    provenance: dict[str, Any]
    pools: Pools = field(default_factory=Pools)
    asr_corrupted: dict[float, tuple[FeatureSet, FeatureSet]] = field(default_factory=dict)  # train, dev by error rate
    visual: VisualEncoderConfig | None = None  # if the corpus's own faces are read

    def save(self, folder: Path) -> None:
        """Writes `train`, `dev`, the corrupted copies and `pools.safetensors`."""
        about = {
            "labels": self.labels,
            "audio": asdict(self.audio),
            "visual": asdict(self.visual) if self.visual else None,
            "text_sha256": self.text_sha256,
            "provenance": self.provenance,
            "asr_corrupted": list(self.asr_corrupted),
        }
        for rate, copies in self.asr_corrupted.items():
            for split, features in zip(SPLITS, copies, strict=True):
                save_features(features, folder / _corrupted_file(split, rate))
        save_features(self.train, folder / "train.safetensors", {"training_data": json.dumps(about)})
        save_features(self.dev, folder / "dev.safetensors")
        save_pools(self.pools, folder / POOLS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        train, dev = (load_features(folder / f"{split}.safetensors") for split in SPLITS)
        about = json.loads(features_about(folder / "train.safetensors")["training_data"])
        return cls(
            labels=tuple(about["labels"]),
            train=train,
            dev=dev,
            audio=AudioEncoderConfig(**about["audio"]),
            text_sha256=about["text_sha256"],
            provenance=about["provenance"],
            pools=load_pools(folder / POOLS),
            asr_corrupted={rate: _load_corrupted(folder, rate) for rate in about["asr_corrupted"]},
            visual=VisualEncoderConfig(**about["visual"]) if about["visual"] else None,
        )


def _load_corrupted(folder: Path, rate: float) -> tuple[FeatureSet, FeatureSet]:
    train, dev = (load_features(folder / _corrupted_file(split, rate)) for split in SPLITS)
    return train, dev


def _corrupted_file(split: str, rate: float) -> str:
    return f"{split}-asr-corrupted-{rate}.safetensors"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where features come from, beside the corpus's text and prosody."""

    speech_emotion: bool = False  # scores of the speech emotion network for the corpus's own recordings
    faces: bool = False  # scores of the expression network for them
    ravdess: Path | None = None  # for recipes that compose a corpus
    fer2013: Path | None = None
    face_detector: Path | None = None  # YuNet's ONNX file; None = the bundled cascade


def prepare(
    corpus: Corpus,
    composed: Sequence[ComposeConfig],
    cache: Path,
    text: Path = TEXT_ENCODER,
    sources: Sources = Sources(),  # noqa: B008  # immutable
) -> TrainingData:
    """Encodes a corpus, and the pools and corrupted copies that any of `composed` needs.

    Raises `DataError` or `EncoderError`.
    """
    for config in composed:
        for share, option, own in (
            (config.voice, "--speech-emotion", sources.speech_emotion),
            (config.face, "--faces", sources.faces),
        ):
            if own and share:
                raise DataError(f"{option} reads the corpus's own recordings, the recipe others: use the recipe real")
    widest = ComposeConfig(
        voice=max((one.voice for one in composed), default=0), face=max((one.face for one in composed), default=0)
    )
    pools = read_pools(widest, "train", corpus.labels, cache, sources.ravdess, sources.fer2013)
    audio = fitted_audio(corpus, cache, speech_emotion=sources.speech_emotion)
    if sources.faces:
        require_clips(corpus, "train")
    visual = bundled_visual_config() if sources.faces else None
    train, dev = (
        corpus_features(corpus, split, audio, cache, text, visual, face_detector=sources.face_detector)
        for split in SPLITS
    )
    noise = [AsrNoiseFeatures(corpus, split, cache, text, WHISPER_SHARE) for split in SPLITS]
    corrupted = {
        rate: (noise[0].features(train, rate)[0], noise[1].features(dev, rate)[0])
        for rate in {one.misheard for one in composed if one.misheard}
    }
    provenance = {"corpus": corpus.name, "data_sha256": fingerprint(*corpus.files)}
    if visual and sources.face_detector:
        provenance["face_detector_sha256"] = fingerprint(sources.face_detector)
    return TrainingData(corpus.labels, train, dev, audio, text_fingerprint(text), provenance, pools, corrupted, visual)

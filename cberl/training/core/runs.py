"""One seed of a recipe, from features to a checkpoint in its folder: what `cberl train` and `cberl sweep` share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from safetensors.numpy import load_file, save_file

from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet, features_about, fingerprint, load_features, save_features, widened
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.visual import VisualEncoderConfig
from cberl.training.augment.augment import augment
from cberl.training.augment.placement import joined
from cberl.training.core.recipe import Recipe
from cberl.training.core.train import Epoch, Trainer, fit
from cberl.training.features.asr_noise_features import NoisyText
from cberl.training.features.clip_encoders import with_face
from cberl.training.features.compose import ComposeConfig, Pool, Pools, compose
from cberl.training.features.corpus import TEXT_ENCODER, corpus_features, fitted_audio, require_clips, text_fingerprint
from cberl.training.features.pools import composed_encoders, read_pools

POOLS = "pools.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What all seeds learn from: a corpus's features, how its audio was encoded, what it is, and what may be joined."""

    labels: tuple[str, ...]
    train: FeatureSet
    dev: FeatureSet
    audio: AudioEncoderConfig
    text_sha256: str
    provenance: dict[str, Any]
    pools: Pools = field(default_factory=dict)
    misheard: dict[float, FeatureSet] = field(default_factory=dict)  # `train` by word error rate
    visual: VisualEncoderConfig | None = None  # where the corpus's own faces are read

    def save(self, folder: Path) -> None:
        """For other processes: `train`, `dev`, misheard copies and `pools.safetensors`."""
        about = {
            "labels": self.labels,
            "audio": asdict(self.audio),
            "visual": asdict(self.visual) if self.visual else None,
            "text_sha256": self.text_sha256,
            "provenance": self.provenance,
            "misheard": list(self.misheard),
        }
        for rate, features in self.misheard.items():
            save_features(features, folder / _misheard_file(rate))
        save_features(self.train, folder / "train.safetensors", {"material": json.dumps(about)})
        save_features(self.dev, folder / "dev.safetensors")
        arrays = {f"{kind}.evidence": pool.evidence for kind, pool in self.pools.items()}
        save_file(arrays | {f"{kind}.label": pool.label for kind, pool in self.pools.items()}, folder / POOLS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        train, dev = (load_features(folder / f"{split}.safetensors") for split in ("train", "dev"))
        about = json.loads(features_about(folder / "train.safetensors")["material"])
        arrays = load_file(folder / POOLS)
        kinds = {name.partition(".")[0] for name in arrays}
        pools = {kind: Pool(arrays[f"{kind}.evidence"], arrays[f"{kind}.label"]) for kind in kinds}
        audio = AudioEncoderConfig(**about["audio"])
        misheard = {rate: load_features(folder / _misheard_file(rate)) for rate in about["misheard"]}
        labels, sha256, provenance = tuple(about["labels"]), about["text_sha256"], about["provenance"]
        visual = VisualEncoderConfig(**about["visual"]) if about["visual"] else None
        return cls(labels, train, dev, audio, sha256, provenance, pools, misheard, visual)


def _misheard_file(rate: float) -> str:
    return f"train-misheard-{rate}.safetensors"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where features come from: the corpus's own recordings beside its prosody, and the data that recipes join."""

    voices: bool = False  # the speech network hears the corpus's recordings
    faces: bool = False  # the expression network sees them
    ravdess: Path | None = None
    fer2013: Path | None = None


def prepare(
    corpus: Corpus,
    composed: Sequence[ComposeConfig],
    cache: Path,
    text: Path = TEXT_ENCODER,
    sources: Sources = Sources(),  # noqa: B008  # immutable
) -> Material:
    """A corpus, encoded as the live engine would, and the pools and copies that any of `composed` needs.

    Raises `DataError` or `FileNotFoundError`.
    """
    pools: dict[str, Pool] = {}
    for config in composed:
        for kind, own in (("voice", sources.voices), ("face", sources.faces)):
            if own and kind in config.wanted:
                raise DataError(f"--{kind}s reads the corpus's own, and the recipe joins others: take the recipe real")
        pools |= read_pools(config, "train", corpus.labels, cache, sources.ravdess, sources.fer2013)
    audio = fitted_audio(corpus, cache, voices=sources.voices)
    if sources.faces:
        require_clips(corpus, "train", "faces")
    visual = with_face() if sources.faces else None
    train, dev = (corpus_features(corpus, split, audio, cache, text, visual) for split in ("train", "dev"))
    noisy = NoisyText(corpus, "train", cache, text)
    misheard = {one.misheard: noisy.features(train, one.misheard)[0] for one in composed if one.misheard}
    provenance = {"corpus": corpus.name, "data_sha256": fingerprint(*corpus.files)}
    return Material(corpus.labels, train, dev, audio, text_fingerprint(text), provenance, pools, misheard, visual)


@dataclass(frozen=True, slots=True)
class Run:
    """One seed to train. `name` is what its checkpoint calls itself."""

    recipe: Recipe
    seed: int
    folder: Path
    name: str
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Result:
    """What a seed came to, on dev, before calibration."""

    checkpoint: str
    epochs: int
    dev_weighted_f1: float
    dev_macro_f1: float
    tau: float
    temperature: float

    @property
    def selection(self) -> float:
        """As `cberl.metrics.Scores` has it."""
        return (self.dev_weighted_f1 + self.dev_macro_f1) / 2


def run_seed(run: Run, material: Material, *, resume: bool, report: Callable[[Epoch], None]) -> Result:
    """Trains on features composed and augmented as the recipe says and leaves the checkpoint in the run's folder.

    With `resume`, a run that was stopped goes on, and one that is finished is left as it is. `run.json` knows which it
    is. Raises `ValueError` when the folder holds a run with other settings.
    """
    composed = run.recipe.compose
    pools = {kind: material.pools[kind] for kind in composed.wanted}
    audio, visual = composed_encoders(material.audio, pools, composed, material.train)
    encoders = {
        "text": {"sha256": material.text_sha256},
        "audio": asdict(audio),
        "visual": asdict(seen_by) if (seen_by := visual or material.visual) else None,
    }
    provenance = material.provenance | {"compose": asdict(composed) if pools or composed.misheard else None}
    state = RunState(run.folder / "run.json", _settings(run, material, encoders), resume=resume)
    if state.result:
        return Result(str(run.folder), **state.result)
    copies = [material.train, *([material.misheard[composed.misheard]] if composed.misheard else [])]
    shown = joined([compose(copy, pools, composed, audio, run.seed) for copy in copies])
    config, augmentation = run.recipe.for_corpus(shown, material.labels, run.seed)
    features = augment(shown, augmentation, len(material.labels))
    # Dev stays real: what is chosen and calibrated there owes nothing to what was joined.
    trainer = Trainer(config, features, widened(material.dev, config.model.modality_dims), run.device)
    fit(trainer, run.folder, resume=resume, report=report)
    checkpoint = trainer.finish(run.name, encoders, provenance | {"augment": asdict(augmentation)})
    checkpoint.save(run.folder)
    scores = trainer.dev_scores()
    result: dict[str, Any] = {
        "epochs": trainer.epoch,
        "dev_weighted_f1": round(scores.weighted_f1, 2),
        "dev_macro_f1": round(scores.macro_f1, 2),
        "tau": checkpoint.calibration.tau,
        "temperature": round(checkpoint.calibration.temperature, 3),
    }
    state.finish(result)
    return Result(str(run.folder), **result)


def _settings(run: Run, material: Material, encoders: dict[str, Any]) -> dict[str, Any]:
    """All that decides on a run."""
    return {
        "recipe": asdict(run.recipe),
        "seed": run.seed,
        "name": run.name,
        "labels": material.labels,
        "encoders": encoders,
        "provenance": material.provenance,
    }


class RunState:
    """`run.json`: what a run was asked, so that nothing else goes on in its folder; and its result, once it has one."""

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool) -> None:
        """Raises `ValueError` when the run to resume was started with other settings."""
        self.result: dict[str, Any] | None = None
        self._path, self._settings = path, json.loads(json.dumps(settings))
        if resume and path.is_file():
            before = json.loads(path.read_text())
            if before["settings"] != self._settings:
                self._refuse(before["settings"])
            self.result = before["result"]
        else:
            self._write()

    def finish(self, result: dict[str, Any]) -> None:
        self.result = result
        self._write()

    def _refuse(self, before: dict[str, Any]) -> None:
        differing = ", ".join(key for key, value in self._settings.items() if value != before.get(key))
        raise ValueError(
            f"the run in {self._path.parent} was started with other settings ({differing}): "
            "give the same ones, or another --out"
        )

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".part")
        unfinished.write_text(json.dumps({"settings": self._settings, "result": self.result}, indent=1) + "\n")
        unfinished.replace(self._path)

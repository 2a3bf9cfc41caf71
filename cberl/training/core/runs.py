"""One run: a seed of a recipe, from features to a checkpoint in its folder. Used by `cberl train` and `cberl sweep`."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cberl.data.features import widened
from cberl.errors import TrainingError
from cberl.storage import replacing
from cberl.training.augment.augment import augment
from cberl.training.augment.placement import joined
from cberl.training.core.recipe import Recipe
from cberl.training.core.train import Epoch, Trainer, fit
from cberl.training.core.training_data import TrainingData
from cberl.training.features.compose import compose
from cberl.training.features.pools import composed_encoders


@dataclass(frozen=True, slots=True)
class Run:
    """A seed to train. `name` is stored in the checkpoint, and events carry it as `model`."""

    recipe: Recipe
    seed: int
    folder: Path
    name: str
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Result:
    """Scores on dev before calibration, and what calibration chose."""

    checkpoint: str
    epochs: int
    dev_weighted_f1: float
    dev_macro_f1: float
    tau: float
    temperature: float

    @property
    def selection(self) -> float:
        """As `cberl.metrics.Scores.selection`."""
        return (self.dev_weighted_f1 + self.dev_macro_f1) / 2


def require_new(file: Path, resume: bool) -> None:
    """Raises `TrainingError` if the file shows that its folder holds a run, which training would overwrite."""
    if file.is_file() and not resume:
        raise TrainingError(
            f"{file.parent} holds a run already: --resume continues it, or returns its result if it is finished; "
            "or give another --out"
        )


def run_seed(run: Run, data: TrainingData, *, resume: bool, report: Callable[[Epoch], None]) -> Result:
    """Trains on features composed and augmented by the recipe, and writes the checkpoint to the run's folder.

    With `resume`, a run that was stopped continues and one that is finished returns its result; `run.json` says which
    it is. Raises `TrainingError` if the folder holds a run with other settings.
    """
    composed = run.recipe.compose
    audio, visual = composed_encoders(data.audio, composed)
    encoders = {
        "text": {"sha256": data.text_sha256},
        "audio": asdict(audio),
        "visual": asdict(seen) if (seen := visual or data.visual) else None,
    }
    used = composed.voice or composed.face or composed.misheard
    provenance = data.provenance | {"compose": asdict(composed) if used else None}
    state = RunState(run.folder / "run.json", _settings(run, data, encoders), resume=resume)
    if state.result:
        return Result(str(run.folder), **state.result)
    train, dev = [data.train], [data.dev]
    if composed.misheard:
        for copies, corrupted in zip((train, dev), data.asr_corrupted[composed.misheard], strict=True):
            copies.append(corrupted)
    shown = joined([compose(copy, data.pools, composed, run.seed) for copy in train])
    config, augmentation = run.recipe.for_corpus(shown, data.labels, run.seed)
    features = augment(shown, augmentation, len(data.labels))
    # Dev is neither composed nor augmented, so that selection and calibration are by real data; live, text has errors.
    trainer = Trainer(config, features, widened(joined(dev), config.model.modality_dims), run.device)
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


def _settings(run: Run, data: TrainingData, encoders: dict[str, Any]) -> dict[str, Any]:
    """Everything that determines a run."""
    return {
        "recipe": asdict(run.recipe),
        "seed": run.seed,
        "name": run.name,
        "labels": data.labels,
        "encoders": encoders,
        "provenance": data.provenance,
    }


class RunState:
    """`run.json`: the settings of a run, so that only the same run continues in its folder, and its result."""

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool) -> None:
        """Raises `TrainingError` if the run to resume was started with other settings."""
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
        raise TrainingError(
            f"the run in {self._path.parent} was started with other settings ({differing}): "
            "give the same ones, or another --out"
        )

    def _write(self) -> None:
        with replacing(self._path) as unfinished:
            unfinished.write_text(json.dumps({"settings": self._settings, "result": self.result}, indent=1) + "\n")

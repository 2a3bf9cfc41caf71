"""A trained network on disk: `model.safetensors` beside `config.json`. Weights are never unpickled.

config.json says which layout this is (`format`), the network (`model`), how its inputs were made (`encoders`), how its
logits become probabilities (`calibration`) and where it comes from (`provenance`).
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cberl.calibration import Calibration
from cberl.config import ModelConfig
from cberl.model import CBERL

FORMAT = 1
WEIGHTS = Path(__file__).parent / "weights"
STARTER = WEIGHTS / "starter"


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message says why and what to do."""


@dataclass(slots=True, eq=False)
class Checkpoint:
    """`encoders` has an entry a modality: how live input must be encoded to mean the same as in training."""

    name: str
    model: CBERL
    calibration: Calibration
    encoders: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes both files; an existing checkpoint is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous().cpu() for name, tensor in self.model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        config = {
            "format": FORMAT,
            "name": self.name,
            "model": asdict(self.model.config),
            "calibration": asdict(self.calibration),
            "encoders": self.encoders,
            "provenance": self.provenance,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_checkpoint(folder: Path, device: str = "cpu") -> Checkpoint:
    """The checkpoint in `folder`, in evaluation mode on `device`. Raises `CheckpointError`."""
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is no checkpoint: {name} is missing; give a folder of `cberl train`")
    config = _read_config(folder / "config.json")
    try:
        shape, given = config["model"], config["calibration"]
        model = CBERL(ModelConfig(**{**shape, "labels": tuple(shape["labels"])}))
        calibration = Calibration(**{**given, "log_prior": tuple(given["log_prior"])})
        checkpoint = Checkpoint(config["name"], model, calibration, config["encoders"], config["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no network: {error!r}; train it again") from error
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{folder / 'model.safetensors'} does not fit its config.json: {first}") from error
    model.to(device).eval()
    return checkpoint


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        version = config["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}; train it again") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path.parent} has checkpoint format {version}, this version reads format {FORMAT}: "
            "train it again, or install the version of cberl-engine that wrote it"
        )
    return dict(config)

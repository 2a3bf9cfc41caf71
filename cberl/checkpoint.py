"""A trained network and what is needed to use it, in one folder with the files of `cberl.pretrained`.

In addition to the network, config.json holds its `name`, the configuration of its `encoders` and its `provenance`.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cberl.calibration import Calibration
from cberl.model import CBERL
from cberl.pretrained import CheckpointError

__all__ = ["STARTER", "WEIGHTS", "Checkpoint", "CheckpointError", "load_checkpoint", "resolve_device"]

WEIGHTS = Path(__file__).parent / "weights"
STARTER = WEIGHTS / "starter"
MAX_NAME = 128


@dataclass(slots=True, eq=False)
class Checkpoint:
    """`encoders` has one entry per modality: how input must be encoded (see `cberl.encoders.bundle`)."""

    name: str
    model: CBERL
    calibration: Calibration
    encoders: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def on_cpu(self) -> "Checkpoint":
        """The same with its network on the CPU: a copy, unless it is there."""
        if self.model.to_graph.weight.device.type == "cpu":
            return self
        return replace(self, model=deepcopy(self.model).cpu())

    def save(self, folder: Path) -> None:
        """Writes both files, and replaces an existing checkpoint."""
        self.model.calibration = self.calibration
        self.model.about = {"name": self.name, "encoders": self.encoders, "provenance": self.provenance}
        self.model.save_pretrained(folder)


def load_checkpoint(folder: Path, device: str = "cpu") -> Checkpoint:
    """The checkpoint in `folder`, in evaluation mode on `device`. Raises `CheckpointError`."""
    model = CBERL.from_pretrained(folder, device=device)
    try:
        name, encoders, provenance = (model.about[key] for key in ("name", "encoders", "provenance"))
    except KeyError as error:
        raise CheckpointError(f"{folder / 'config.json'} has no {error}: train it again") from error
    if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable()):
        raise CheckpointError(f"{folder / 'config.json'}: the name is printable text of up to {MAX_NAME} characters")
    if not (isinstance(encoders, dict) and isinstance(provenance, dict)):
        raise CheckpointError(f"{folder / 'config.json'}: encoders and provenance are objects: train it again")
    return Checkpoint(name, model, model.calibration, encoders, provenance)


def resolve_device(wanted: str) -> str:
    """ "cpu", "cuda", or for "auto" the GPU if there is one. Raises `CheckpointError` for "cuda" without a GPU."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device cuda was asked for, but PyTorch sees no GPU here: use --device auto or cpu")
    return wanted

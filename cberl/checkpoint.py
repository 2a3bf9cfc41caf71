"""A trained network and what is needed to use it, for training and evaluation; the live engine has `LiveCheckpoint`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cberl.calibration import Calibration
from cberl.checkpoint_files import STARTER, WEIGHTS, CheckpointError, read_about
from cberl.model import CBERL

__all__ = ["STARTER", "WEIGHTS", "Checkpoint", "CheckpointError", "load_checkpoint"]


@dataclass(slots=True, eq=False)
class Checkpoint:
    """`encoders` has one entry per modality: how input must be encoded (see `cberl.encoders.bundle`)."""

    name: str
    model: CBERL
    calibration: Calibration
    encoders: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes all files, and replaces an existing checkpoint."""
        self.model.calibration = self.calibration
        self.model.about = {"name": self.name, "encoders": self.encoders, "provenance": self.provenance}
        self.model.save_pretrained(folder)


def load_checkpoint(folder: Path, device: str = "cpu") -> Checkpoint:
    """The checkpoint in `folder`, in evaluation mode on `device`. Raises `CheckpointError`."""
    model = CBERL.from_pretrained(folder, device=device)
    name, encoders, provenance = read_about(folder, model.about)
    return Checkpoint(name, model, model.calibration, encoders, provenance)

"""A trained network and all that using it takes, in one folder; the files are those of `cberl.pretrained`.

Beside the network, config.json says its `name`, how its inputs were made (`encoders`) and where it comes from
(`provenance`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cberl.calibration import Calibration
from cberl.model import CBERL
from cberl.pretrained import CheckpointError

__all__ = ["STARTER", "WEIGHTS", "Checkpoint", "CheckpointError", "load_checkpoint"]

WEIGHTS = Path(__file__).parent / "weights"
STARTER = WEIGHTS / "starter"


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
        self.model.calibration = self.calibration
        self.model.about = {"name": self.name, "encoders": self.encoders, "provenance": self.provenance}
        self.model.save_pretrained(folder)


def load_checkpoint(folder: Path, device: str = "cpu") -> Checkpoint:
    """The checkpoint in `folder`, in evaluation mode on `device`. Raises `CheckpointError`."""
    model = CBERL.from_pretrained(folder, device=device)
    try:
        name, encoders, provenance = (model.about[key] for key in ("name", "encoders", "provenance"))
    except KeyError as error:
        raise CheckpointError(f"{folder / 'config.json'} does not say its {error}: train it again") from error
    return Checkpoint(name, model, model.calibration, encoders, provenance)

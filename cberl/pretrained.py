"""A network on disk: `model.safetensors` and `config.json`. No pickle is read.

config.json holds the version of this layout (`format`), the network's configuration (`model`) and its `calibration`.
All other keys are returned as `about`; they are those of `cberl.checkpoint`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cberl.calibration import Calibration
from cberl.config import ModelConfig
from cberl.errors import CberlError
from cberl.hub import HubError, fetch
from cberl.storage import replacing

FORMAT = 1
FILES = ("config.json", "model.safetensors")


class CheckpointError(CberlError, ValueError):
    """A checkpoint cannot be used."""


class Pretrained(nn.Module):
    """A network that is determined by its config and weights, and can be saved and loaded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.calibration = Calibration((0.0,) * len(config.labels))  # plain softmax
        self.about: dict[str, Any] = {}

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes both files, and replaces an existing checkpoint."""
        folder = Path(folder)
        weights = {name: tensor.contiguous().cpu() for name, tensor in self.state_dict().items()}
        config = {
            "format": FORMAT,
            "model": asdict(self.config),
            "calibration": asdict(self.calibration),
            **self.about,
        }
        with replacing(folder / "model.safetensors") as unfinished:
            save_file(weights, unfinished)
        with replacing(folder / "config.json") as unfinished:
            unfinished.write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None, device: str = "cpu") -> Self:
        """The network in a folder or in a repository of the hub ("owner/name"), in evaluation mode.

        A folder takes precedence over a repository of the same name; a `Path` is always a folder. `revision` is that of
        the repository. Raises `CheckpointError`.
        """
        folder = _folder(source, revision)
        config = _read_config(folder / "config.json")
        try:
            shape, given = config.pop("model"), config.pop("calibration")
            model = cls(ModelConfig(**{**shape, "labels": tuple(shape["labels"])}))
            model.calibration = Calibration(**{**given, "log_prior": tuple(given["log_prior"])})
            model.about = config
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / 'config.json'} does not describe a network: {error!r}; train it again"
            ) from error
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (RuntimeError, SafetensorError) as error:
            first = str(error).splitlines()[0]
            raise CheckpointError(f"{folder / 'model.safetensors'} does not fit its config.json: {first}") from error
        return model.to(device).eval()


def _folder(source: str | Path, revision: str | None) -> Path:
    folder = Path(source)
    if not folder.is_dir() and isinstance(source, str):
        try:
            return fetch(source, FILES, revision)
        except HubError as error:
            raise CheckpointError(f"{error}; give a folder of `cberl train`") from error
    for name in FILES:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a checkpoint: {name} is missing; give a folder of `cberl train`")
    return folder


def _read_config(path: Path) -> dict[str, Any]:
    """The config without `format`, which is checked."""
    try:
        config = dict(json.loads(path.read_text()))
        version = config.pop("format")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}; train it again") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path.parent} has checkpoint format {version}, this version reads format {FORMAT}: "
            "train it again, or install the version of cberl-engine that wrote it"
        )
    return config

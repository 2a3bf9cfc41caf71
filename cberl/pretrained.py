"""A network on disk: `model.safetensors` beside `config.json`. Weights are never unpickled.

config.json says which layout this is (`format`), the network (`model`) and how its logits become probabilities
(`calibration`). What else it holds comes back as `about`; `cberl.checkpoint` knows what that is.
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
from cberl.hub import HubError, fetch

FORMAT = 1
FILES = ("config.json", "model.safetensors")


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message says why and what to do."""


class Pretrained(nn.Module):
    """A network that is its config and its weights, and so can be saved and come back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.calibration = Calibration((0.0,) * len(config.labels))  # changes nothing
        self.about: dict[str, Any] = {}

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes both files; an existing checkpoint is replaced."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous().cpu() for name, tensor in self.state_dict().items()}
        config = {
            "format": FORMAT,
            "model": asdict(self.config),
            "calibration": asdict(self.calibration),
            **self.about,
        }
        unfinished = folder / "model.part"
        save_file(weights, unfinished)
        unfinished.replace(folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None, device: str = "cpu") -> Self:
        """The network in a folder, or of a hub id ("owner/name"), in evaluation mode. Raises `CheckpointError`.

        A folder goes before a hub id of the same name; a `Path` is never a hub id. `revision`: of the hub's.
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
                f"{folder / 'config.json'} describes no network: {error!r}; train it again"
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
            raise CheckpointError(f"{folder} is no checkpoint: {name} is missing; give a folder of `cberl train`")
    return folder


def _read_config(path: Path) -> dict[str, Any]:
    """Without its `format`."""
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

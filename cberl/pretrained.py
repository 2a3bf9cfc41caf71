"""A network on disk: `model.safetensors` and `config.json`. No pickle is read.

config.json holds the version of this layout (`format`), the network's configuration (`model`), its `calibration` and,
as `weights_sha256`, the digest of model.safetensors. Both files are checked before a network is made from them. All
other keys are returned as `about`; they are those of `cberl.checkpoint`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cberl.calibration import Calibration
from cberl.config import ModelConfig
from cberl.errors import CberlError
from cberl.hub import HubError, fetch
from cberl.storage import fingerprint, replacing

FORMAT = 1
FILES = ("config.json", "model.safetensors")
MAX_CONFIG_BYTES = 1 << 20


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
        with replacing(folder / "model.safetensors") as unfinished:
            save_file(weights, unfinished)
            digest = fingerprint(unfinished)
        config = {
            "format": FORMAT,
            "model": asdict(self.config),
            "calibration": asdict(self.calibration),
            "weights_sha256": digest,
            **self.about,
        }
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
            model_config = ModelConfig(**{**shape, "labels": tuple(shape["labels"])})
            calibration = Calibration(**{**given, "log_prior": tuple(given["log_prior"])})
            numbers, labels = len(calibration.log_prior), len(model_config.labels)
            if numbers != labels:
                raise ValueError(f"log_prior has {numbers} numbers for {labels} labels")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / 'config.json'} does not describe a network: {error!r}; train it again"
            ) from error
        file, digest = folder / "model.safetensors", config.pop("weights_sha256", None)
        if digest is not None and digest != fingerprint(file):  # checkpoints of earlier versions have none
            raise CheckpointError(f"{file} is damaged or belongs to another config.json: its SHA-256 is another")
        try:
            with torch.device("meta"):  # takes no memory
                _require_shapes(file, cls(model_config))
            model = cls(model_config)
            model.load_state_dict(load_file(file))
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{file} does not fit its config.json: {str(error).splitlines()[0]}") from error
        if not all(weight.isfinite().all() for weight in model.state_dict().values()):
            raise CheckpointError(f"{file} has weights that are not finite numbers: train it again")
        model.calibration, model.about = calibration, config
        return model.to(device).eval()


def _require_shapes(file: Path, network: nn.Module) -> None:
    """Raises `ValueError` unless the file has exactly the weights of this network. Reads its header only."""
    wanted = {name: list(weight.shape) for name, weight in network.state_dict().items()}
    with safe_open(file, "pt") as weights:
        found = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118 - not a mapping
    if found != wanted:
        name = next(name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name))
        raise ValueError(f"{name} has the shape {found.get(name)}, not {wanted.get(name)}")


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
        if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has {size} bytes, more than {MAX_CONFIG_BYTES}")
        config = dict(from_json(path.read_bytes()))
        version = config.pop("format")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}; train it again") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path.parent} has checkpoint format {version}, this version reads format {FORMAT}: "
            "train it again, or install the version of cberl-engine that wrote it"
        )
    return config

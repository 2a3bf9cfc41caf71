"""Networks as PyTorch modules, saved to a folder and loaded from it. Its files are in `cberl.checkpoint_files`."""

from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cberl.calibration import Calibration
from cberl.checkpoint_files import (
    NETWORK,
    STEP,
    CheckpointError,
    Description,
    checkpoint_folder,
    read_description,
    verify,
    write_description,
)
from cberl.config import ModelConfig
from cberl.step.graph import exportable, step_graph
from cberl.storage import fingerprint, replacing


class Pretrained(nn.Module):
    """A network that is determined by its config and weights, and can be saved and loaded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.calibration = Calibration((0.0,) * len(config.labels))  # plain softmax
        self.about: dict[str, Any] = {}

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes all files, and replaces an existing checkpoint. Raises `TrainingError` without the package onnx."""
        folder = Path(folder)
        weights = {name: tensor.detach().contiguous().cpu() for name, tensor in self.state_dict().items()}
        step = None
        if exportable(self.config):
            step = step_graph(self.config, {name: tensor.float().numpy() for name, tensor in weights.items()})
        with replacing(folder / NETWORK) as unfinished:
            save_file(weights, unfinished)
            digest = fingerprint(unfinished)
        step_digest = None
        if step is None:
            (folder / STEP).unlink(missing_ok=True)
        else:
            with replacing(folder / STEP) as unfinished:
                unfinished.write_bytes(step)
                step_digest = fingerprint(unfinished)
        write_description(folder, Description(self.config, self.calibration, digest, step_digest, self.about))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None, device: str = "cpu") -> Self:
        """The network in a folder or in a repository of the hub ("owner/name"), in evaluation mode.

        A folder takes precedence over a repository of the same name; a `Path` is always a folder. `revision` is that of
        the repository. Raises `CheckpointError`.
        """
        folder = checkpoint_folder(source, revision)
        described, file = read_description(folder), folder / NETWORK
        verify(file, described.weights_sha256)
        try:
            with torch.device("meta"):  # takes no memory
                _require_shapes(file, cls(described.config))
            model = cls(described.config)
            model.load_state_dict(load_file(file))
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{file} does not fit its config.json: {str(error).splitlines()[0]}") from error
        if not all(weight.isfinite().all() for weight in model.state_dict().values()):
            raise CheckpointError(f"{file} has weights that are not finite numbers: train it again")
        model.calibration, model.about = described.calibration, described.about
        return model.to(device).eval()


def _require_shapes(file: Path, network: nn.Module) -> None:
    """Raises `ValueError` unless the file has exactly the weights of this network. Reads its header only."""
    wanted = {name: list(weight.shape) for name, weight in network.state_dict().items()}
    with safe_open(file, "pt") as weights:
        found = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118 - not a mapping
    if found != wanted:
        name = next(name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name))
        raise ValueError(f"{name} has the shape {found.get(name)}, not {wanted.get(name)}")

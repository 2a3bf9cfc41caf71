"""A checkpoint as the live engine runs it: step by step, on a CPU without PyTorch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cberl.calibration import Calibration
from cberl.checkpoint_files import (
    CONFIG,
    NETWORK,
    STEP,
    CheckpointError,
    Description,
    checkpoint_folder,
    read_about,
    read_description,
    verify,
    write_description,
)
from cberl.config import ModelConfig
from cberl.errors import EncoderError, TrainingError
from cberl.step.graph import exportable, step_graph
from cberl.step.network import OnnxStep
from cberl.step.state import StepInput, StepNetwork, initial_state, require_causal
from cberl.storage import fingerprint, replacing


@dataclass(frozen=True, slots=True, eq=False)
class LiveCheckpoint:
    """`encoders` has one entry per modality: how input must be encoded (see `cberl.encoders.bundle`)."""

    name: str
    network: StepNetwork
    calibration: Calibration
    encoders: dict[str, Any]

    @property
    def config(self) -> ModelConfig:
        return self.network.config

    def on_cpu(self) -> "LiveCheckpoint":
        """The same with its network on the CPU: a copy, unless it is there."""
        return replace(self, network=self.network.on_cpu())


def load_live_checkpoint(folder: Path, device: str = "cpu") -> LiveCheckpoint:
    """The checkpoint in `folder`, to run utterance by utterance. Raises `CheckpointError`.

    On a CPU it is step.onnx; on a GPU, and for the layers that serve for comparison, PyTorch.
    """
    described = read_description(checkpoint_folder(folder, needed=(CONFIG,)))
    name, encoders, _ = read_about(folder, described.about)
    start = initial_state(described.config)
    if device == "cpu" and exportable(described.config):
        network: StepNetwork = _onnx_step(folder, described)
    else:
        network = _torch_step(folder, device)
    try:
        logits, _ = network.step([start], [StepInput("a", {})])
    except EncoderError as error:
        raise CheckpointError(f"{folder / STEP} does not fit its config.json: {error}") from error
    if not np.isfinite(logits).all():
        raise CheckpointError(f"{folder} has weights that are not finite numbers: train it again")
    return LiveCheckpoint(name, network, described.calibration, encoders)


def add_step(folder: Path) -> None:
    """Writes step.onnx into a checkpoint of an earlier version. Raises `CheckpointError` or `TrainingError`."""
    described = read_description(checkpoint_folder(folder))
    with replacing(folder / STEP) as unfinished:
        unfinished.write_bytes(export_step(folder))
        digest = fingerprint(unfinished)
    write_description(folder, replace(described, step_sha256=digest))


def export_step(folder: Path) -> bytes:
    """What step.onnx holds for the weights in `folder`. Raises `CheckpointError` or `TrainingError`."""
    file, described = checkpoint_folder(folder) / NETWORK, read_description(folder)
    verify(file, described.weights_sha256)
    require_causal(described.config)
    if not exportable(described.config):
        raise CheckpointError(f"{folder} has layers of the kind {described.config.graph}, which run with PyTorch alone")
    try:
        return step_graph(described.config, load_file(file))
    except (KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{file} does not fit its config.json: {error!r}") from error


def _onnx_step(folder: Path, described: Description) -> OnnxStep:
    """From step.onnx or, in a checkpoint of an earlier version, from the weights."""
    try:
        if described.step_sha256 is None:
            return OnnxStep(described.config, export_step(folder))
        file = checkpoint_folder(folder, needed=(CONFIG, STEP)) / STEP
        verify(file, described.step_sha256)
        return OnnxStep(described.config, file)
    except EncoderError as error:
        raise CheckpointError(str(error)) from error
    except TrainingError as error:
        raise CheckpointError(
            f"{folder} is of an earlier version, without {STEP}: add it with `cberl export-step {folder}`, "
            "for which you need: pip install 'cberl-engine[train]'"
        ) from error


def _torch_step(folder: Path, device: str) -> StepNetwork:
    try:
        from cberl.cuda_step import load_step
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{folder} needs {error.name} on this device: pip install 'cberl-engine[gpu]'") from error
    return load_step(folder, device)

"""Opening a small ONNX network for one-at-a-time use on a CPU."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from cberl.labels import MELD


def open_network(folder: Path, name: str, *, threads: int = 1) -> tuple[Any, dict[str, Any]]:
    """The session of `folder/name.onnx` and what `folder/name.json` says of it.

    Raises `FileNotFoundError` where a file is missing, `ValueError` where its labels are not MELD's seven.
    """
    network, config_file = network_files(folder, name)
    for file in (network, config_file):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: make it with `cberl train-encoder {name}`")
    config: dict[str, Any] = json.loads(config_file.read_text())
    _expect_meld(config_file, config["labels"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"]), config


def network_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Everything that decides on what the network gives: for a checkpoint to know it by."""
    return folder / f"{name}.onnx", folder / f"{name}.json"


def _expect_meld(file: Path, labels: Sequence[str]) -> None:
    if tuple(labels) != MELD:
        raise ValueError(f"{file} has labels {', '.join(labels)}; this encoder needs {', '.join(MELD)} in this order")

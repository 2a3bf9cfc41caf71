"""ONNX networks on a CPU: one place for the session's options."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf

from cberl.errors import EncoderError
from cberl.labels import MELD


def open_session(path: Path, *, threads: int = 1) -> Any:
    """The `onnxruntime.InferenceSession` of an ONNX file. Thread-safe. Raises `EncoderError`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Weights stored as int8 are converted to float32 once, at loading, instead of at every call.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise EncoderError(f"{path} is not an ONNX network that can be loaded: {error}") from error


def open_network(folder: Path, name: str, *, threads: int = 1) -> tuple[Any, dict[str, Any]]:
    """The session of `folder/name.onnx` and the contents of `folder/name.json`.

    Raises `EncoderError` where a file is missing or its labels are not MELD's seven.
    """
    network, config_file = network_files(folder, name)
    for file in (network, config_file):
        if not file.is_file():
            raise EncoderError(f"{file} is missing: make it with `cberl train-encoder {name}`")
    config: dict[str, Any] = json.loads(config_file.read_text())
    _expect_meld(config_file, config["labels"])
    return open_session(network, threads=threads), config


def network_files(folder: Path, name: str) -> tuple[Path, Path]:
    """All files that decide the network's output, in the order in which a checkpoint's sha256 covers them."""
    return folder / f"{name}.onnx", folder / f"{name}.json"


def _expect_meld(file: Path, labels: Sequence[str]) -> None:
    if tuple(labels) != MELD:
        raise EncoderError(f"{file} has labels {', '.join(labels)}; this encoder needs {', '.join(MELD)} in this order")

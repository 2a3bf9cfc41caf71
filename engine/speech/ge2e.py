"""The speaker encoder whose weights are in Resemblyzer's wheel (Apache-2.0), run by PyTorch.

Generalized end-to-end loss (Wan et al., 2018, https://arxiv.org/abs/1710.10467); https://github.com/resemble-ai/Resemblyzer.
The wheel is located but never imported: importing it needs packages that are no longer maintained.
"""

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from cberl.types import SAMPLE_RATE, Float32
from engine.speech.speaker_embedding import SpeakerEncoderError

MELS = 40
FRAMES = 160  # of 10 ms; the network was trained on windows of this length
HOP = FRAMES // 2
LEVEL_RMS = 10 ** (-30 / 20)  # quieter clips are amplified to -30 dB of full scale
DIM = 256


class GE2E(nn.Module):
    """Three LSTM layers over 1.6 s of mel power. Stateless and blocking: belongs in a worker."""

    def __init__(self, path: Path) -> None:
        """Load the weights. Raises SpeakerEncoderError."""
        super().__init__()
        self.lstm = nn.LSTM(MELS, DIM, num_layers=3, batch_first=True)
        self.linear = nn.Linear(DIM, DIM)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            self.load_state_dict({name: state[name] for name in self.state_dict()})
        except (OSError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
            raise SpeakerEncoderError(f"{path} is not a speaker encoder of Resemblyzer's shape: {error}") from error
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
        """See SpeakerEncoder. Clips run one by one, so no result depends on the batch."""
        return [self._embed(clip) for clip in clips]

    def _embed(self, pcm: Float32) -> Float32:
        level = float(np.sqrt(np.mean(np.square(pcm)))) if len(pcm) else 0.0
        louder = pcm * max(1.0, LEVEL_RMS / max(level, 1e-5))
        padded = np.pad(louder, (0, max(0, FRAMES * 160 - len(pcm)))).astype(np.float32)
        mel = self._mel(torch.from_numpy(padded)).T  # (40, frames) -> (frames, 40)
        windows = mel.unfold(0, FRAMES, HOP).transpose(1, 2)  # (windows, 40, 160) -> (windows, 160, 40)
        embedding: Float32 = nn.functional.normalize(self(windows).mean(0), dim=0).numpy()
        return embedding

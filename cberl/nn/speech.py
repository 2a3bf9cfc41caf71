"""A small convolutional network for speech emotion: log-mel frames in, a vector and emotion logits out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM = 64  # of the vector
RANGE = 12.0  # nats (52 dB) below the loudest cell; quieter cells are raised to it, whatever the recording's silence


class SpeechNet(nn.Module):
    """Convolutions over time and frequency, then mean and standard deviation over time. Any length; 0.4 M weights."""

    def __init__(self, bands: int = 64, dropout: float = 0.0, classes: int = 7) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(1, 16, 2),
            _conv(16, 32, 2),
            _Residual(32, dropout),
            _conv(32, 64, 2),
            _Residual(64, dropout),
            _conv(64, 96, (1, 2)),
            _Residual(96, dropout),
        )
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * 96 * bands // 16, DIM), nn.LayerNorm(DIM))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(DIM, classes))

    def vector(self, frames: Tensor) -> Tensor:
        """(B, T, bands) log-mel power -> (B, 64), nearly invariant to gain and to padding with silence."""
        frames = torch.maximum(frames, frames.amax(dim=(1, 2), keepdim=True) - RANGE)
        centred = (frames - frames.mean(dim=(1, 2), keepdim=True)) / 3.0  # about the standard deviation, in nats
        maps = self.body(centred.unsqueeze(1))  # (B, 96, T/8, bands/16)
        rows = maps.permute(0, 2, 1, 3).flatten(2)  # -> (B, T/8, 96 * bands/16)
        mean = rows.mean(dim=1)
        sd = (rows - mean.unsqueeze(1)).square().mean(dim=1).add(1e-5).sqrt()
        vector: Tensor = self.project(torch.cat([mean, sd], dim=1))
        return vector

    def describe(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Vector and probabilities, (B, 64) and (B, classes)."""
        vector = self.vector(frames)
        return vector, self.head(vector).softmax(dim=1)

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.head(self.vector(frames))
        return logits


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = _conv(width, width, 1)
        self.drop = nn.Dropout2d(dropout / 2)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.drop(self.first(x))))


def _conv(inputs: int, outputs: int, stride: int | tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )

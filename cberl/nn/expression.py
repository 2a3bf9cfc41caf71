"""A small residual network for facial expression: grey faces in, a vector and expression logits out."""

from torch import Tensor, nn
from torch.nn import functional as F

DIM = 64  # of the vector


class ExpressionNet(nn.Module):
    """0.86 M weights. Each face is standardised by its own mean and standard deviation."""

    def __init__(self, dropout: float = 0.0, classes: int = 7) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(1, 16, 1),
            _conv(16, 32, 2),
            _Residual(32),
            _conv(32, 64, 2),
            _Residual(64),
            _Residual(64),
            _conv(64, 128, 2),
            _Residual(128),
            _Residual(128),
        )
        self.project = nn.Sequential(nn.Linear(128, DIM), nn.LayerNorm(DIM))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(DIM, classes))

    def vector(self, faces: Tensor) -> Tensor:
        """(B, 1, H, W) grey, 0..255 -> (B, 64), each row with mean 0 and sd 1 before the learned scale."""
        mean = faces.mean(dim=(1, 2, 3), keepdim=True)
        sd = (faces - mean).square().mean(dim=(1, 2, 3), keepdim=True).add(1.0).sqrt()  # + 1: a blank frame stays 0
        maps = self.body((faces - mean) / sd)  # (B, 128, H/8, W/8)
        vector: Tensor = self.project(maps.mean(dim=(2, 3)))
        return vector

    def describe(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Vector and probabilities, averaged over the face and its mirror image."""
        vectors = self.vector(faces), self.vector(faces.flip(3))
        probabilities = [self.head(vector).softmax(dim=1) for vector in vectors]
        return (vectors[0] + vectors[1]) / 2, (probabilities[0] + probabilities[1]) / 2

    def forward(self, faces: Tensor) -> Tensor:
        logits: Tensor = self.head(self.vector(faces))
        return logits


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width, 1)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )

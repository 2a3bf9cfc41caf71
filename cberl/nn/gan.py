"""The networks of a class-conditional CycleGAN in feature space (Zhu et al. 2017, arXiv 1703.10593). Training only.

All inputs are centred and scaled features, (N, dim) per modality; rows where a modality is absent are 0 and stay 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cberl.nn.fusion import Modalities, Present

Scores = dict[str, Tensor]  # by discriminator: (n,), of the rows that have its modality; higher = more real


class Generator(nn.Module):
    """Of one modality: x plus a change that depends on x and the target class."""

    def __init__(self, dim: int, classes: int, hidden_dim: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, hidden_dim)
        self.target = nn.Embedding(classes, hidden_dim)
        self.change = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, dim),
        )

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """(N, dim), int[N] -> (N, dim)."""
        changed: Tensor = x + self.change(self.enter(x) + self.target(target))
        return changed


class Generators(nn.Module):
    """One generator per modality. Translates utterances of any class to the class `target`."""

    def __init__(self, dims: dict[str, int], classes: int, hidden_dim: int) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({name: Generator(dim, classes, hidden_dim) for name, dim in dims.items()})

    def forward(self, x: Modalities, present: Present, target: Tensor) -> Modalities:
        return {name: one(x[name], target) * present[name].unsqueeze(-1) for name, one in self.generators.items()}


class Discriminator(nn.Module):
    """Scores whether x is a real example of its class: a projection discriminator (Miyato & Koyama 2018,
    arXiv 1802.05637) with spectral normalisation (Miyato et al. 2018, arXiv 1802.05957)."""

    def __init__(self, dim: int, classes: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            spectral_norm(nn.Linear(dim, hidden_dim)),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            spectral_norm(nn.Linear(hidden_dim, hidden_dim)),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        )
        self.real = spectral_norm(nn.Linear(hidden_dim, 1))
        self.of_class = spectral_norm(nn.Embedding(classes, hidden_dim))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """(N, dim), int[N] -> (N,)."""
        hidden = self.body(x)
        score: Tensor = self.real(hidden).squeeze(-1) + (self.of_class(label) * hidden).sum(-1)
        return score


class Discriminators(nn.Module):
    """One discriminator per modality, and a `joint` one of all modalities, which scores whether they fit together."""

    def __init__(self, dims: dict[str, int], classes: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.alone = nn.ModuleDict(
            {name: Discriminator(dim, classes, hidden_dim, dropout) for name, dim in dims.items()}
        )
        self.joint = Discriminator(joint_dim(dims), classes, hidden_dim, dropout)

    def forward(self, x: Modalities, present: Present, label: Tensor) -> Scores:
        scores = {name: one(x[name][present[name]], label[present[name]]) for name, one in self.alone.items()}
        return {**scores, "joint": self.joint(concatenated(x, present), label)}


class EmotionClassifier(nn.Module):
    """All modalities of an utterance -> logits. Its loss makes translations reach their class."""

    def __init__(self, dims: dict[str, int], classes: int, hidden_dim: int, dropout: float, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.body = nn.Sequential(
            nn.Linear(joint_dim(dims), hidden_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden_dim, classes)
        )

    def forward(self, x: Modalities, present: Present) -> Tensor:
        """-> (N, classes)."""
        features = concatenated(x, present)
        if self.training:
            features = features + self.noise * torch.randn_like(features)
        logits: Tensor = self.body(features)
        return logits


def joint_dim(dims: dict[str, int]) -> int:
    return sum(dims.values()) + len(dims)


def concatenated(x: Modalities, present: Present) -> Tensor:
    """(N, joint_dim): the features, then a flag for each modality that is present."""
    names = sorted(x)
    flags = torch.stack([present[name] for name in names], dim=-1)  # (N, modalities)
    return torch.cat([*(x[name] for name in names), flags.to(x[names[0]].dtype)], dim=-1)


def discriminator_loss(real: Scores, fake: Scores) -> Tensor:
    """Hinge loss, summed over discriminators: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))."""
    return torch.stack([_mean(F.relu(1 - real[name])) + _mean(F.relu(1 + fake[name])) for name in real]).sum()


def generator_loss(fake: Scores) -> Tensor:
    """-mean D(fake), averaged over discriminators."""
    return -torch.stack([_mean(scores) for scores in fake.values()]).mean()


def cycle_loss(x: Modalities, back: Modalities, present: Present) -> Tensor:
    """Mean |x - back| over the features of the rows that have the modality, averaged over modalities."""
    return torch.stack([_mean((x[name] - back[name]).abs()[present[name]]) for name in x]).mean()


def _mean(values: Tensor) -> Tensor:
    """0 if no row has the modality."""
    return values.sum() / max(values.numel(), 1)

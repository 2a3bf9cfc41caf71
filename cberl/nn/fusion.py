"""Fusion of the present modalities into one latent: the joint posterior is a product of experts.

Experts q_m(z | x_m) = N(mu_m, sigma_m^2) and the prior N(0, 1) multiply to N(mu, sigma^2) with
1 / sigma^2 = 1 + sum_m 1 / sigma_m^2 and mu = sigma^2 * sum_m mu_m / sigma_m^2 (Wu & Goodman 2018, arXiv 1802.05335).
An absent modality is left out of the product, so any subset works.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

Modalities = dict[str, Tensor]  # name -> (N, dim); rows of an absent modality are ignored
Present = dict[str, Tensor]  # name -> bool (N,)


class Posterior(NamedTuple):
    """A diagonal Gaussian per row: mean and log variance, each (N, latent)."""

    mean: Tensor
    log_variance: Tensor

    def draw(self) -> Tensor:
        """A reparametrised sample per row (Kingma & Welling 2014, arXiv 1312.6114)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)


class Fused(NamedTuple):
    """The latent of an utterance and its parts; (N, latent) each.

    latent: the joint posterior's mean, or a sample; beside: the skip connections past the bottleneck, 0 without them;
    experts: each modality's own posterior, invalid in rows where it is absent.
    """

    latent: Tensor
    beside: Tensor
    joint: Posterior
    experts: dict[str, Posterior]

    @property
    def z(self) -> Tensor:
        """The input of the rest of the network."""
        return self.latent + self.beside

    @property
    def expected(self) -> Tensor:
        """z with the posterior's mean instead of a sample."""
        return self.joint.mean + self.beside


class Expert(nn.Module):
    """q_m(z | x_m): layer normalisation, then one hidden layer."""

    def __init__(self, dim: int, latent_dim: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(dim) if dim > 16 else nn.Identity(),  # prosody and scores are normalised by their encoders
            nn.Linear(dim, latent_dim),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.mean = nn.Linear(latent_dim, latent_dim)
        self.log_variance = nn.Linear(latent_dim, latent_dim)

    def forward(self, x: Tensor) -> tuple[Posterior, Tensor]:
        """(N, dim) -> the expert's posterior and its projection (N, latent)."""
        hidden = self.body(x)
        return Posterior(self.mean(hidden), self.log_variance(hidden).clamp(-6, 6)), hidden


class JointFusion(nn.Module):
    """(N, dim) per modality, and which rows have it -> the joint posterior and z.

    z is the posterior's mean plus, with `skip`, projections of the present modalities past the bottleneck.
    """

    def __init__(self, dims: dict[str, int], latent_dim: int, dropout: float, *, skip: bool) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({name: Expert(dim, latent_dim, dropout) for name, dim in dims.items()})
        self.skips = nn.ModuleDict(
            {name: nn.Linear(latent_dim, latent_dim, bias=False) for name in dims} if skip else {}
        )
        self.latent_dim = latent_dim

    def forward(self, x: Modalities, present: Present, *, draw: bool = False) -> Fused:
        """With `draw`, which is for training, the latent is sampled from the posterior."""
        rows = next(iter(x.values()))
        precision = rows.new_ones(len(rows), self.latent_dim)  # the prior's
        weighted = torch.zeros_like(precision)
        beside = torch.zeros_like(precision)
        posteriors: dict[str, Posterior] = {}
        for name, expert in self.experts.items():
            has = present[name].unsqueeze(-1)  # (N, 1)
            # Rows without the modality may hold anything, including NaN, which must not reach the sums.
            posteriors[name], hidden = expert(x[name].masked_fill(~has, 0.0))
            confidence = torch.exp(-posteriors[name].log_variance)
            precision = precision + (confidence * has)
            weighted = weighted + (confidence * posteriors[name].mean * has)
            if name in self.skips:
                beside = beside + self.skips[name](hidden) * has
        joint = Posterior(weighted / precision, -torch.log(precision))
        return Fused(joint.draw() if draw else joint.mean, beside, joint, posteriors)

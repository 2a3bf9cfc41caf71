"""Fusion of whatever modalities are present into one latent: the joint posterior is a product of experts.

Experts q_m(z | x_m) = N(mu_m, sigma_m^2) and the prior N(0, 1) multiply to N(mu, sigma^2) with
1 / sigma^2 = 1 + sum_m 1 / sigma_m^2 and mu = sigma^2 * sum_m mu_m / sigma_m^2 (Wu & Goodman 2018, arXiv 1802.05335).
An absent modality is no expert at all, so any subset works by construction.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

Modalities = dict[str, Tensor]  # name -> (N, dim); rows of an absent modality are ignored
Present = dict[str, Tensor]  # name -> bool (N,)


class Posterior(NamedTuple):
    """A diagonal Gaussian a row: mean and log variance, each (N, latent)."""

    mean: Tensor
    log_variance: Tensor


class Expert(nn.Module):
    """q_m(z | x_m): normalises, then one hidden layer."""

    def __init__(self, dim: int, latent_dim: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(dim) if dim > 16 else nn.Identity(),  # a handful of numbers is normalised by its encoder
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
    """(N, dim) a modality and which rows have it -> z (N, latent) and the joint posterior.

    z is the posterior's mean, plus, with `skip`, the projections of the present modalities past the bottleneck.
    """

    def __init__(self, dims: dict[str, int], latent_dim: int, dropout: float, *, skip: bool) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({name: Expert(dim, latent_dim, dropout) for name, dim in dims.items()})
        self.skips = nn.ModuleDict(
            {name: nn.Linear(latent_dim, latent_dim, bias=False) for name in dims} if skip else {}
        )
        self.latent_dim = latent_dim

    def forward(self, x: Modalities, present: Present) -> tuple[Tensor, Posterior]:
        rows = next(iter(x.values()))
        precision = rows.new_ones(len(rows), self.latent_dim)  # the prior's
        weighted = torch.zeros_like(precision)
        beside = torch.zeros_like(precision)
        for name, expert in self.experts.items():
            has = present[name].unsqueeze(-1)  # (N, 1)
            # Rows without the modality may hold anything, NaN too: they must not reach the sums.
            posterior, hidden = expert(x[name].masked_fill(~has, 0.0))
            confidence = torch.exp(-posterior.log_variance)
            precision = precision + (confidence * has)
            weighted = weighted + (confidence * posterior.mean * has)
            if name in self.skips:
                beside = beside + self.skips[name](hidden) * has
        joint = Posterior(weighted / precision, -torch.log(precision))
        return joint.mean + beside, joint

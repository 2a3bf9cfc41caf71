"""Output heads on the states of an utterance."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EmotionHead(nn.Module):
    """[context | graph] -> logits over the label set."""

    def __init__(self, hidden_dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2 * hidden_dim, hidden_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden_dim, classes)
        )

    def forward(self, context: Tensor, graph: Tensor) -> Tensor:
        """(N, hidden) each -> (N, classes)."""
        logits: Tensor = self.body(torch.cat([context, graph], dim=-1))
        return logits


class ContrastiveHead(nn.Module):
    """[context | graph] -> unit vectors for the supervised contrastive loss. Training only."""

    def __init__(self, hidden_dim: int, dim: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))

    def forward(self, context: Tensor, graph: Tensor) -> Tensor:
        """(N, hidden) each -> (N, dim) of length 1."""
        return F.normalize(self.body(torch.cat([context, graph], dim=-1)), dim=-1)


class ShiftHead(nn.Module):
    """[context | graph] -> the logit that the speaker's emotion differs from that of their previous utterance.

    Training only, as an auxiliary task.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, 1))

    def forward(self, context: Tensor, graph: Tensor) -> Tensor:
        """(N, hidden) each -> (N,)."""
        logit: Tensor = self.body(torch.cat([context, graph], dim=-1)).squeeze(-1)
        return logit


class ModalityDecoders(nn.Module):
    """p(x_m | z): the latent -> every modality, standardised by its mean and standard deviation. Training only."""

    def __init__(self, dims: dict[str, int], latent_dim: int) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(latent_dim, latent_dim), nn.GELU(), nn.Linear(latent_dim, dim))
                for name, dim in dims.items()
            }
        )

    def forward(self, latent: Tensor) -> dict[str, Tensor]:
        """(N, latent) -> (N, dim) per modality."""
        return {name: decoder(latent) for name, decoder in self.decoders.items()}

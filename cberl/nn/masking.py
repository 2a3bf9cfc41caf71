"""Masked node reconstruction, as in GraphMAE (Hou et al. 2022, arXiv 2205.10803). Training only.

Masked utterances enter the graph as a learned token, and a further graph layer reconstructs them from the states of
their neighbours; their own states are masked again before it. The token replaces the whole input of the graph,
including the context, which contains the utterance. In a causal graph no neighbour's context contains it; in an offline
graph they do, and the task is easier.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cberl.graph import Edges


def choose_nodes(weight: Tensor, rate: float) -> Tensor:
    """A random share `rate` of N utterances, at least one, drawn in proportion to weight (N,) -> bool (N,)."""
    count = min(max(1, round(rate * len(weight))), int((weight > 0).sum()))
    masked = torch.zeros_like(weight, dtype=torch.bool)
    if count:
        masked[torch.multinomial(weight, count)] = True
    return masked


class MaskedReconstruction(nn.Module):
    """Predicts z of masked utterances. `decoder` is a graph layer that nothing else uses."""

    def __init__(self, decoder: nn.Module, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(hidden_dim))
        self.second_token = nn.Parameter(0.02 * torch.randn(hidden_dim))
        self.decoder = decoder
        self.out = nn.Linear(hidden_dim, latent_dim)

    def forward(self, node: Tensor, masked: Tensor, encode: Callable[[Tensor], Tensor], edges: Edges) -> Tensor:
        """node (N, hidden) enters the graph, `encode` is the graph, masked bool (N,) -> (masked.sum(), latent)."""
        hidden = masked.unsqueeze(-1)  # (N, 1)
        states = encode(torch.where(hidden, self.token, node))
        into_masked = masked[edges.edge_index[1]]  # (E,); messages to other utterances are not needed
        states = self.decoder(torch.where(hidden, self.second_token, states), *edges.select(into_masked))
        predicted: Tensor = self.out(states[masked])
        return predicted

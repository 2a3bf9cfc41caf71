"""Masked node reconstruction, as in GraphMAE (Hou et al. 2022, arXiv 2205.10803). Training only.

Some utterances enter the graph as a learned token, and a graph layer tells from the states of their neighbours what
they were. Their own states are hidden a second time before it, so that it can only look at the neighbours. The token
replaces all that enters the graph, context too, since the context has read the utterance. In a causal graph no
neighbour has read it; in an offline one their contexts have, and the task is easier.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cberl.graph import Edges


def choose_nodes(weight: Tensor, rate: float) -> Tensor:
    """Draws a share `rate` of N utterances, at least one, in proportion to weight (N,) -> bool (N,)."""
    count = min(max(1, round(rate * len(weight))), int((weight > 0).sum()))
    masked = torch.zeros_like(weight, dtype=torch.bool)
    if count:
        masked[torch.multinomial(weight, count)] = True
    return masked


class MaskedReconstruction(nn.Module):
    """Guesses z of masked utterances. `decoder` is a graph layer of its own."""

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
        into_masked = masked[edges.edge_index[1]]  # (E,); what the others would receive is not looked at
        states = self.decoder(torch.where(hidden, self.second_token, states), *edges.select(into_masked))
        guessed: Tensor = self.out(states[masked])
        return guessed

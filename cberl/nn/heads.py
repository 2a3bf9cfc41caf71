"""What is read off an utterance's state."""

import torch
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

"""Context: a GRU over the conversation. Unidirectional, its hidden state is the stream's state."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Context(nn.Module):
    """Whole dialogues with `forward`, one utterance with `step`: the same weights, the same numbers.

    Bidirectional, half of the output looks ahead, and there is no step.
    """

    def __init__(self, input_dim: int, hidden_dim: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        if bidirectional and hidden_dim % 2:
            raise ValueError(f"hidden_dim {hidden_dim} cannot be split into two directions")
        size = hidden_dim // 2 if bidirectional else hidden_dim
        self.gru = nn.GRU(input_dim, size, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (N, input), rows of a dialogue together; lengths int[B] with sum N -> (N, hidden)."""
        padded = x.new_zeros(len(lengths), int(lengths.max()), x.shape[1])  # (B, T, input)
        inside = torch.arange(padded.shape[1], device=x.device) < lengths.unsqueeze(1)  # (B, T)
        padded[inside] = x
        packed = pack_padded_sequence(padded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (B, T, hidden)
        return out[inside]

    def step(self, x: Tensor, hidden: Tensor) -> Tensor:
        """x (B, input), hidden (B, hidden) -> the next hidden, which is also the output, (B, hidden)."""
        _, after = self.gru(x.unsqueeze(1), hidden.unsqueeze(0).contiguous())
        following: Tensor = after[0]
        return following

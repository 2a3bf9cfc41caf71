"""Context: a GRU over the conversation. If it is unidirectional, its hidden state is the state that streaming keeps."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Context(nn.Module):
    """`forward` reads whole dialogues, `step` one utterance, with the same weights and results.

    If it is bidirectional, half of the output depends on later utterances, and `step` cannot be used.
    """

    def __init__(self, input_dim: int, hidden_dim: int, *, bidirectional: bool = False) -> None:
        super().__init__()
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
        next_hidden: Tensor = after[0]
        return next_hidden

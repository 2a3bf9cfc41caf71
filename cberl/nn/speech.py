"""The convolutions and first layers of Whisper's encoder, whose intermediate states carry a speaker's emotion.

Whisper (Radford et al. 2022, arXiv 2212.04356) learns words; its last layers discard how they were said. The states of
the first two layers, averaged over the voiced frames, are what the speech emotion network reads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS = 80
WIDTH, HEADS, INNER = 384, 6, 1536  # of tiny.en
LAYERS = 2
STATES_DIM = LAYERS * WIDTH
POSITIONS = 150  # 3 s of states, one per 20 ms; Whisper has 1500


class WhisperStates(nn.Module):
    """Log-mel windows -> the mean state of each layer over voiced frames. Parameters as in transformers' module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(POSITIONS, WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, mel: Tensor, voiced: Tensor) -> Tensor:
        """(B, 80, 2T) Whisper's log-mel, (B, T) 1.0 where voiced -> (B, 768); 0 for a row without a voiced frame."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # -> (B, T, WIDTH)
        x = x + self.embed_positions.weight[: x.shape[1]]
        states = []
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        weight = voiced / voiced.sum(dim=1, keepdim=True).clamp_min(1.0)
        return torch.einsum("bts,bt->bs", torch.cat(states, dim=2), weight)


class _Layer(nn.Module):
    """One transformer layer with layer normalisation before each part."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(WIDTH)
        self.self_attn = _Attention()
        self.final_layer_norm = nn.LayerNorm(WIDTH)
        self.fc1 = nn.Linear(WIDTH, INNER)
        self.fc2 = nn.Linear(INNER, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        changed: Tensor = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        return changed


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.k_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v_proj = nn.Linear(WIDTH, WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        scores = (q @ k.transpose(2, 3)) * (WIDTH // HEADS) ** -0.5  # (B, HEADS, T, T)
        mixed = (scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2)  # -> (B, T, WIDTH)
        attended: Tensor = self.out_proj(mixed)
        return attended

"""Relational graph attention: each relation has its own keys, values and bias by distance.

For target i and its in-edges j -> i with relation r and distance d:
    e_ij = (q_i . k^r_j) / sqrt(dim) + b^r_d,   a_ij = softmax_j(e_ij),   out_i = W_o [sum_j a_ij v^r_j]
per head (after Busbridge et al. 2019, "Relational Graph Attention Networks", arXiv 1904.05811, with dot products).
"""

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

from cberl.graph import relation_count


class RelationalAttention(MessagePassing):  # type: ignore[misc]
    """One layer with residual connection and pre-norm, like the attention half of a Transformer block."""

    def __init__(self, dim: int, heads: int, past: int, future: int, dropout: float) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.heads, self.head_dim = heads, dim // heads
        self.relations = relation_count(future)
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, self.relations * dim)
        self.value = nn.Linear(dim, self.relations * dim)
        self.bias = nn.Parameter(torch.zeros(self.relations, max(past, future) + 1, heads))
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor, relation: Tensor, distance: Tensor) -> Tensor:
        """x (N, dim), edge_index int[2, E], relation int[E], distance int[E] -> (N, dim)."""
        h = self.norm(x)
        query = self.query(h).view(-1, self.heads, self.head_dim)  # (N, H, D)
        # One source per utterance and relation, so that an edge reads only the keys of its relation.
        key = self.key(h).view(-1, self.heads, self.head_dim)  # (N * R, H, D)
        value = self.value(h).view(-1, self.heads, self.head_dim)  # (N * R, H, D)
        mixed = self.propagate(
            torch.stack([edge_index[0] * self.relations + relation, edge_index[1]]),
            size=(len(key), len(query)),
            query=(None, query),
            key=(key, None),
            value=(value, None),
            bias=self.bias[relation, distance],
        )  # (N, H, D)
        result: Tensor = x + self.dropout(self.out(mixed.flatten(1)))  # (N, H, D) -> (N, dim)
        return result

    def message(
        self, query_i: Tensor, key_j: Tensor, value_j: Tensor, bias: Tensor, index: Tensor, size_i: int
    ) -> Tensor:
        """The weighted values of the sources: (E, H, D)."""
        logits = (query_i * key_j).sum(-1) / math.sqrt(self.head_dim) + bias  # (E, H)
        weighted: Tensor = value_j * softmax(logits, index, num_nodes=size_i).unsqueeze(-1)
        return weighted

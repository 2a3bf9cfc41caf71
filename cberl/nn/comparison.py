"""PyG's graph attention with the interface of `RelationalAttention`, for comparison in the ablation."""

from typing import Literal

from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, RGATConv

from cberl.graph import relation_count


class ComparisonAttention(nn.Module):
    """RGATConv (Busbridge et al. 2019) or GATv2Conv (Brody et al. 2022, arXiv 2105.14491), residual and pre-norm.

    Both read an edge's relation and distance as a learned edge feature; RGATConv also has weights per relation.
    """

    def __init__(
        self, kind: Literal["rgat", "gatv2"], dim: int, heads: int, past: int, future: int, dropout: float
    ) -> None:
        super().__init__()
        relations, self.reach = relation_count(future), max(past, future) + 1
        self.kind = kind
        self.norm = nn.LayerNorm(dim)
        self.edge = nn.Embedding(relations * self.reach, dim)
        self.conv = (
            RGATConv(dim, dim // heads, num_relations=relations, heads=heads, edge_dim=dim)
            if kind == "rgat"
            else GATv2Conv(dim, dim // heads, heads=heads, edge_dim=dim, add_self_loops=False)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor, relation: Tensor, distance: Tensor) -> Tensor:
        """x (N, dim), edge_index int[2, E], relation int[E], distance int[E] -> (N, dim)."""
        given = {"edge_attr": self.edge(relation * self.reach + distance)}  # (E, dim)
        if self.kind == "rgat":
            given["edge_type"] = relation
        result: Tensor = x + self.dropout(self.conv(self.norm(x), edge_index, **given))
        return result

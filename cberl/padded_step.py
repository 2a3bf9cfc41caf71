"""The newest utterance of a conversation in tensors of fixed shape, as a captured CUDA graph needs them.

`CBERL.forward` has an edge for each pair of utterances; here each conversation has a window of P places and a mask. The
weights are those of the model.
"""

import math

import torch
from torch import Tensor, nn

from cberl.model import CBERL
from cberl.nn.relational import RelationalAttention
from cberl.step.state import SELF


class PaddedStep(nn.Module):
    """What `CBERL` computes for the newest utterance of each of B conversations. For relational graph layers."""

    def __init__(self, model: CBERL) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: dict[str, Tensor], present: Tensor, hidden: Tensor, layers: Tensor, relation: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, dim) per modality, bool (M, B), (B, hidden), (layers, B, P, hidden), int64 (B, P), a `Relation` or -1.

        Returns logits (B, classes), and the next hidden and layers.
        """
        model = self.model
        z = model.fusion(x, dict(zip(x, present, strict=True))).z
        context = model.context.step(z, hidden)
        node = model.node(z, context)
        relation = torch.cat([relation, relation.new_full((len(relation), 1), SELF)], dim=1)  # (B, P + 1)
        windows = []
        for before, layer in zip(layers, model.graph, strict=True):
            rows = torch.cat([before, node.unsqueeze(1)], dim=1)  # (B, P + 1, hidden)
            windows.append(rows[:, 1:])
            node = attended(layer, rows, relation)
        return model.head(context, node), context, torch.stack(windows) if windows else layers


def attended(layer: nn.Module, rows: Tensor, relation: Tensor) -> Tensor:
    """The layer's output for the last row: (B, P + 1, hidden), int64 (B, P + 1) -> (B, hidden)."""
    assert isinstance(layer, RelationalAttention)
    count, places, _ = rows.shape
    h = layer.norm(rows)
    query = layer.query(h[:, -1]).view(count, layer.heads, layer.head_dim)
    kind = relation.clamp(min=0)
    index = kind.view(count, places, 1, 1, 1).expand(-1, -1, 1, layer.heads, layer.head_dim)
    key, value = (
        part(h).view(count, places, layer.relations, layer.heads, layer.head_dim).gather(2, index).squeeze(2)
        for part in (layer.key, layer.value)
    )  # each (B, P + 1, heads, size)
    distance = torch.arange(places - 1, -1, -1, device=rows.device)
    scores = torch.einsum("bhd,bphd->bph", query, key) / math.sqrt(layer.head_dim) + layer.bias[kind, distance]
    share = scores.masked_fill((relation < 0).unsqueeze(-1), -math.inf).softmax(dim=1)
    mixed = torch.einsum("bph,bphd->bhd", share, value).flatten(1)
    output: Tensor = rows[:, -1] + layer.out(mixed)
    return output

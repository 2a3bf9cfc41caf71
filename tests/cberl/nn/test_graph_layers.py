"""Graph attention compared with its formula, and all kinds behind one interface."""

import math

import pytest
import torch

from cberl.config import GraphKind, ModelConfig
from cberl.graph import window_edges
from cberl.model import graph_layer
from cberl.nn.relational import RelationalAttention

DIALOGUE, SPEAKER = torch.tensor([0] * 6 + [1] * 3), torch.arange(9) % 3


def test_relational_attention_against_the_formula() -> None:
    torch.manual_seed(0)
    layer = RelationalAttention(8, heads=2, past=2, future=1, dropout=0.0).eval()
    torch.nn.init.normal_(layer.bias)
    edges = window_edges(DIALOGUE, SPEAKER, past=2, future=1)
    x = torch.randn(9, 8)
    h = layer.norm(x)
    query = layer.query(h).view(9, 2, 4)
    key, value = layer.key(h).view(9, 5, 2, 4), layer.value(h).view(9, 5, 2, 4)
    mixed = torch.zeros(9, 2, 4)
    for target in range(9):
        of = (edges.edge_index[1] == target).nonzero().squeeze(1).tolist()
        source, relation = edges.edge_index[0, of], edges.relation[of]
        logits = (query[target] * key[source, relation]).sum(-1) / math.sqrt(4)
        weights = (logits + layer.bias[relation, edges.distance[of]]).softmax(0)  # (edges, H)
        mixed[target] = (weights.unsqueeze(-1) * value[source, relation]).sum(0)
    torch.testing.assert_close(layer(x, *edges), x + layer.out(mixed.flatten(1)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["relational", "rgat", "gatv2"])
@pytest.mark.parametrize("future", [0, 2])
def test_every_kind_uses_relation_and_distance_and_learns(kind: GraphKind, future: int) -> None:
    torch.manual_seed(0)
    layer = graph_layer(ModelConfig(hidden_dim=8, heads=2, past=3, graph=kind, dropout=0.0), future)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)  # some are initialised to zero, which would hide their effect
    edges = window_edges(DIALOGUE, SPEAKER, 3, future)
    x = torch.randn(9, 8)
    out = layer(x, *edges)
    assert out.shape == x.shape
    for other in (edges._replace(relation=edges.relation.flip(0)), edges._replace(distance=edges.distance.flip(0))):
        assert not torch.allclose(layer(x, *other), out)
    out.square().sum().backward()
    idle = {name for name, parameter in layer.named_parameters() if parameter.grad is None}
    assert idle <= {"conv.w", "conv.l1", "conv.l2", "conv.b1", "conv.b2"}  # used by other modes of RGATConv
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters() if parameter.grad is not None)

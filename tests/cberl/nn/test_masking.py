"""Masked utterances are drawn by class weight, masked twice, and predicted from their neighbours only."""

import torch

from cberl.config import ModelConfig
from cberl.graph import window_edges
from cberl.model import CBERL, graph_layer
from cberl.nn.masking import MaskedReconstruction, choose_nodes

CONFIG = ModelConfig(text_dim=6, hidden_dim=8, latent_dim=5, heads=2, past=3, dropout=0.0)


def test_classes_are_masked_in_proportion_to_their_weight() -> None:
    torch.manual_seed(0)
    label = torch.tensor([0] * 90 + [1] * 10)
    drawn = torch.zeros(2)
    for _ in range(300):
        masked = choose_nodes(torch.tensor([1.0, 9.0])[label], rate=0.1)
        assert masked.sum() == 10
        drawn += torch.bincount(label[masked], minlength=2)
    share = drawn / torch.tensor([90.0, 10.0]) / 300
    assert 3 < float(share[1] / share[0]) < 9  # drawn without replacement: less than the weights' ratio
    uniform = sum(int(label[choose_nodes(torch.ones(100), 0.1)].sum()) for _ in range(300))
    assert 200 < uniform < 400  # 300 expected


def test_extreme_rates_and_weights() -> None:
    assert choose_nodes(torch.ones(3), 0.01).sum() == 1
    assert choose_nodes(torch.ones(3), 1.0).sum() == 3
    assert choose_nodes(torch.tensor([1.0, 0.0, 0.0]), 1.0).tolist() == [True, False, False]


def test_a_prediction_depends_on_neighbours_and_not_on_the_masked_utterance() -> None:
    torch.manual_seed(0)
    model = CBERL(CONFIG).eval()
    head = MaskedReconstruction(graph_layer(CONFIG, 0), CONFIG.hidden_dim, CONFIG.latent_dim)
    edges = window_edges(torch.zeros(6, dtype=torch.long), torch.tensor([0, 1, 0, 1, 0, 1]), CONFIG.past)
    masked = torch.tensor([False, False, True, False, False, False])
    node = torch.randn(6, CONFIG.hidden_dim, requires_grad=True)
    guess = head(node, masked, lambda entered: model.propagate(entered, [edges, edges]), edges)
    assert guess.shape == (1, CONFIG.latent_dim)
    guess.sum().backward()
    assert node.grad is not None
    reached = node.grad.abs().sum(-1) > 0
    assert reached.tolist() == [True, True, False, False, False, False]  # not itself, and no later one
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert (model.graph[0].key.weight.grad != 0).any()

"""The lookahead of a network is exactly that of its config, and a network with lookahead refuses to stream."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cberl.config import GraphKind, ModelConfig
from cberl.model import CBERL, Batch
from cberl.streaming import ConversationState, StepInput, initial_state, step

CONFIG = ModelConfig(text_dim=12, audio_dim=0, latent_dim=8, hidden_dim=8, heads=2, past=3, graph_layers=3)
LENGTH = 14


def horizon(config: ModelConfig) -> list[int]:
    """For each utterance, the last one of its dialogue that its logits depend on."""
    torch.manual_seed(0)
    model = CBERL(config).eval()
    x = torch.randn(2 * LENGTH, 12, requires_grad=True)
    has = {"text": torch.ones(2 * LENGTH, dtype=torch.bool)}
    lengths = torch.tensor([LENGTH, LENGTH])
    logits = model(Batch({"text": x}, has, torch.arange(2 * LENGTH) % 3, lengths)).logits
    last = []
    for row in range(LENGTH):
        (gradient,) = torch.autograd.grad(logits[row].sum(), x, retain_graph=True)
        reached = gradient.abs().sum(-1) > 0
        assert not reached[LENGTH:].any()  # the other dialogue
        last.append(int(reached.nonzero().max()))
    return last


@pytest.mark.parametrize("kind", ["relational", "rgat", "gatv2"])
@pytest.mark.parametrize("lookahead", [0, 1, 2, 4])
def test_logits_depend_on_exactly_lookahead_later_utterances(kind: GraphKind, lookahead: int) -> None:
    reached = horizon(replace(CONFIG, lookahead=lookahead, graph=kind))
    assert reached == [min(row + lookahead, LENGTH - 1) for row in range(LENGTH)]


def test_offline_logits_depend_on_the_whole_dialogue() -> None:
    assert horizon(replace(CONFIG, direction="offline")) == [LENGTH - 1] * LENGTH


def test_a_network_that_looks_ahead_refuses_to_stream() -> None:
    state = ConversationState(np.zeros(8, np.float32), np.zeros((3, 3, 8), np.float32), ())
    for config in (replace(CONFIG, lookahead=1), replace(CONFIG, direction="offline")):
        model = CBERL(config).eval()
        with pytest.raises(ValueError, match="looks ahead .* cannot run utterance by utterance"):
            step(model, [state], [StepInput("a", {})])
        with pytest.raises(ValueError, match="looks ahead"):
            initial_state(config)

"""Impossible configurations are refused; the lookahead of each layer follows from the config."""

from typing import Any

import pytest

from cberl.config import ModelConfig


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"direction": "backwards"}, "direction is"),
        ({"graph": "gcn"}, "graph is"),
        ({"lookahead": -1}, "lookahead is a whole number from 0 to"),
        ({"lookahead": 2, "direction": "offline"}, "lookahead is 0 or more"),
        ({"lookahead": 1, "graph_layers": 0}, "needs a graph layer"),
        ({"hidden_dim": 10, "heads": 4}, "hidden_dim 10 cannot be split into 4 heads"),
        ({"hidden_dim": 9, "heads": 3, "direction": "offline"}, "hidden_dim 9 cannot be split into two directions"),
    ],
)
def test_impossible_networks(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ModelConfig(**given)


def test_only_the_first_layer_looks_ahead_unless_offline() -> None:
    assert ModelConfig(graph_layers=3).futures == (0, 0, 0)
    assert ModelConfig(graph_layers=3, lookahead=2).futures == (2, 0, 0)
    assert ModelConfig(graph_layers=3, direction="offline", past=5).futures == (5, 5, 5)
    assert [ModelConfig(**given).streams for given in ({}, {"lookahead": 1}, {"direction": "offline"})] == [1, 0, 0]

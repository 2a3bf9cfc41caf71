"""Edges by hand."""

import torch

from cberl.graph import Relation, window_edges


def test_edges_of_two_short_dialogues() -> None:
    edge_index, relation, distance = window_edges(torch.tensor([0, 0, 0, 1]), torch.tensor([5, 6, 5, 5]), past=2)
    found = {
        (s, t): (Relation(r), d)
        for s, t, r, d in zip(*edge_index.tolist(), relation.tolist(), distance.tolist(), strict=True)
    }
    assert found == {
        (0, 0): (Relation.SELF, 0),
        (1, 1): (Relation.SELF, 0),
        (0, 1): (Relation.OTHER_SPEAKER, 1),
        (2, 2): (Relation.SELF, 0),
        (1, 2): (Relation.OTHER_SPEAKER, 1),
        (0, 2): (Relation.SAME_SPEAKER, 2),
        (3, 3): (Relation.SELF, 0),
    }


def test_no_edge_reaches_further_back_than_the_window() -> None:
    edge_index, _, distance = window_edges(torch.zeros(20, dtype=torch.long), torch.zeros(20, dtype=torch.long), past=3)
    assert ((edge_index[1] - edge_index[0]) == distance).all()
    assert distance.max() == 3
    assert len(distance) == 20 * 4 - (1 + 2 + 3)

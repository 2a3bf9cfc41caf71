"""Edges by hand."""

import torch

from cberl.graph import Relation, relation_count, same_speaker_pairs, window_edges


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


def test_edges_from_later_utterances_have_their_own_relations() -> None:
    index, relation, distance = window_edges(torch.tensor([0, 0, 0, 1]), torch.tensor([5, 6, 5, 6]), past=1, future=2)
    into_first = index[1] == 0
    found = dict(zip(index[0, into_first].tolist(), relation[into_first].tolist(), strict=True))
    assert found == {0: Relation.SELF, 1: Relation.OTHER_SPEAKER_LATER, 2: Relation.SAME_SPEAKER_LATER}
    assert distance[into_first].sum() == 0 + 1 + 2
    into_third = index[1] == 2
    assert index[0, into_third].sort().values.tolist() == [1, 2]  # the next row is another dialogue


def test_without_later_utterances_the_edges_are_causal() -> None:
    dialogue, speaker = torch.tensor([0] * 7 + [1] * 3), torch.arange(10) % 3
    causal, wide = window_edges(dialogue, speaker, 3), window_edges(dialogue, speaker, 3, future=2)
    earlier = wide.edge_index[0] <= wide.edge_index[1]
    torch.testing.assert_close(causal.edge_index, wide.edge_index[:, earlier])
    torch.testing.assert_close(causal.relation, wide.relation[earlier])
    assert relation_count(0) == int(causal.relation.max()) + 1
    assert relation_count(2) == int(wide.relation.max()) + 1


def test_pairs_of_utterances_of_a_speaker_stay_within_a_dialogue() -> None:
    pairs = same_speaker_pairs(torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([5, 6, 5, 5, 5, 6]))
    assert pairs.T.tolist() == [[0, 2], [2, 3]]
    assert same_speaker_pairs(torch.tensor([0]), torch.tensor([5])).shape == (2, 0)

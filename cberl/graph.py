"""The edges of the conversation graph, from the order of the utterances and their speakers. Pure."""

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor


class Relation(IntEnum):
    """The kind of an edge, from the view of its target. A causal graph has the first three."""

    SELF = 0
    SAME_SPEAKER = 1
    OTHER_SPEAKER = 2
    SAME_SPEAKER_LATER = 3
    OTHER_SPEAKER_LATER = 4


class Edges(NamedTuple):
    """edge_index int[2, E] (source, target); relation int[E]; distance int[E], in utterances, not negative."""

    edge_index: Tensor
    relation: Tensor
    distance: Tensor

    def select(self, keep: Tensor) -> "Edges":
        """The edges where bool (E,) holds."""
        return Edges(self.edge_index[:, keep], self.relation[keep], self.distance[keep])


def relation_count(future: int) -> int:
    """The number of relations of a graph whose utterances attend to `future` later ones."""
    return len(Relation) if future else Relation.OTHER_SPEAKER + 1


def window_edges(dialogue: Tensor, speaker: Tensor, past: int, future: int = 0) -> Edges:
    """Edges to every utterance from the `past` previous and `future` next ones of its dialogue, and from itself.

    dialogue: int[N], rows of one dialogue are adjacent and in order; speaker: int[N], equal within a dialogue = same
    person.
    """
    target = torch.arange(len(dialogue), device=dialogue.device).unsqueeze(1)  # (N, 1)
    lag = torch.arange(-future, past + 1, device=dialogue.device).unsqueeze(0)  # (1, F + 1 + P)
    source = target - lag  # (N, F + 1 + P)
    inside = (source >= 0) & (source < len(dialogue))
    inside &= dialogue[source.clamp(0, len(dialogue) - 1)] == dialogue[target]
    target, lag = target.expand_as(source)[inside], lag.expand_as(source)[inside]  # (E,)
    source = source[inside]
    relation = torch.where(speaker[source] == speaker[target], Relation.SAME_SPEAKER, Relation.OTHER_SPEAKER)
    relation = torch.where(lag == 0, Relation.SELF, relation)
    relation = torch.where(lag < 0, relation + (Relation.SAME_SPEAKER_LATER - Relation.SAME_SPEAKER), relation)
    return Edges(torch.stack([source, target]), relation, lag.abs())


def same_speaker_pairs(dialogue: Tensor, speaker: Tensor) -> Tensor:
    """int[2, K]: every utterance that has an earlier one of its speaker in its dialogue: (that one, itself).

    dialogue, speaker: int[N], as in `window_edges`.
    """
    latest: dict[tuple[int, int], int] = {}
    pairs = []
    for row, turn in enumerate(zip(dialogue.tolist(), speaker.tolist(), strict=True)):
        if turn in latest:
            pairs.append((latest[turn], row))
        latest[turn] = row
    return torch.tensor(pairs, dtype=torch.long, device=dialogue.device).reshape(-1, 2).T

"""Who sees whom: from the order of utterances and their speakers to edges. Pure."""

from enum import IntEnum

import torch
from torch import Tensor


class Relation(IntEnum):
    """Kind of an edge, seen from the utterance that receives it."""

    SELF = 0
    SAME_SPEAKER = 1
    OTHER_SPEAKER = 2


def past_edges(dialogue: Tensor, speaker: Tensor, past: int) -> tuple[Tensor, Tensor, Tensor]:
    """Edges from each of the `past` previous utterances of the same dialogue, and from itself, to every utterance.

    dialogue: int[N], rows of one dialogue lie together and in order. speaker: int[N], equal within a dialogue = same
    person.
    Returns edge_index int[2, E] (source, target), relation int[E] and distance int[E] in utterances (0..past).
    """
    target = torch.arange(len(dialogue), device=dialogue.device).unsqueeze(1)  # (N, 1)
    distance = torch.arange(past + 1, device=dialogue.device).unsqueeze(0)  # (1, P + 1)
    source = target - distance  # (N, P + 1)
    inside = source >= 0
    inside &= dialogue[source.clamp(min=0)] == dialogue[target]
    target, distance = target.expand_as(source)[inside], distance.expand_as(source)[inside]  # (E,)
    source = source[inside]
    relation = torch.where(speaker[source] == speaker[target], Relation.SAME_SPEAKER, Relation.OTHER_SPEAKER)
    relation = torch.where(distance == 0, Relation.SELF, relation)
    return torch.stack([source, target]), relation, distance

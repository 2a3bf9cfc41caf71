"""Baselines of augmentation: repetition, and interpolation between neighbours."""

import torch
from torch import Tensor

from cberl.data.features import FeatureSet
from cberl.training.augment.space import Space, Utterances, utterances_of


def oversample(features: FeatureSet, slots: Tensor, random: torch.Generator) -> Utterances:
    """The utterances of the slots themselves."""
    return utterances_of(features).rows(slots)


def smote(features: FeatureSet, slots: Tensor, random: torch.Generator, *, neighbours: int = 5) -> Utterances:
    """A point between each slot's utterance and one of its nearest of the same class (Chawla et al. 2002,
    arXiv 1106.1813).

    All modalities of a point share the neighbour and the weight. A neighbour has the same modalities as the utterance;
    an utterance without such a neighbour is repeated.
    """
    own = utterances_of(features).rows(slots)
    other = utterances_of(features).rows(_neighbour(features, slots, neighbours, random))
    weight = torch.rand(len(slots), 1, generator=random)
    return Utterances({name: torch.lerp(own.x[name], other.x[name], weight) for name in own.x}, own.present)


def _neighbour(features: FeatureSet, slots: Tensor, neighbours: int, random: torch.Generator) -> Tensor:
    """int[n]: a row drawn from the nearest of each slot."""
    group = features.label.clone()  # the class and the set of modalities, in one number
    for has in features.present.values():
        group = group * 2 + has
    points = Space.of(features).joined(utterances_of(features))
    draw = torch.rand(len(slots), generator=random)
    chosen = slots.clone()
    for one in group[slots].unique():
        members = (group == one).nonzero().squeeze(1)
        if len(members) == 1:
            continue
        here = (group[slots] == one).nonzero().squeeze(1)
        distance = torch.cdist(points[slots[here]], points[members])  # (slots, members)
        distance[slots[here].unsqueeze(1) == members] = torch.inf  # an utterance is not its own neighbour
        nearest = distance.topk(min(neighbours, len(members) - 1), largest=False).indices  # (slots, k)
        pick = (draw[here] * nearest.shape[1]).long().unsqueeze(1)
        chosen[here] = members[nearest.gather(1, pick).squeeze(1)]
    return chosen

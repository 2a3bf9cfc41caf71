"""The feature space in which utterances of all modalities are compared, interpolated and translated."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cberl.data.features import FeatureSet
from cberl.nn.fusion import Modalities, Present


class Utterances(NamedTuple):
    """Features of N utterances without dialogues: (N, dim) and bool (N,) per modality; absent rows are 0."""

    x: Modalities
    present: Present

    def rows(self, chosen: Tensor) -> "Utterances":
        """The rows int[n] or bool[N]."""
        return Utterances(
            {name: values[chosen] for name, values in self.x.items()},
            {name: has[chosen] for name, has in self.present.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Each modality is centred and divided by one scale, so that its mean square is 1.

    One scale per modality, not per feature, keeps directions, and features that hardly vary stay small.
    """

    centre: dict[str, Tensor]
    scale: dict[str, Tensor]

    @classmethod
    def of(cls, features: FeatureSet) -> "Space":
        """Fitted to the rows that have the modality; the identity if there are none."""
        space = cls({}, {})
        for name, values in features.x.items():
            rows = values[features.present[name]]
            centre = rows.mean(0) if len(rows) else values.new_zeros(values.shape[1])
            scale = (rows - centre).square().mean().sqrt() if len(rows) else values.new_ones(())
            space.centre[name] = centre
            space.scale[name] = torch.where(scale > 0, scale, torch.ones_like(scale))
        return space

    def enter(self, utterances: Utterances) -> Utterances:
        x = {
            name: ((values - self.centre[name]) / self.scale[name]).masked_fill(_absent(utterances, name), 0.0)
            for name, values in utterances.x.items()
        }
        return Utterances(x, utterances.present)

    def leave(self, utterances: Utterances) -> Utterances:
        """The inverse of `enter`."""
        x = {
            name: (values * self.scale[name] + self.centre[name]).masked_fill(_absent(utterances, name), 0.0)
            for name, values in utterances.x.items()
        }
        return Utterances(x, utterances.present)

    def joined(self, utterances: Utterances) -> Tensor:
        """(N, sum of dims): the modalities after `enter`, each divided by sqrt(dim) for equal weight, concatenated."""
        entered = self.enter(utterances).x
        return torch.cat([values / values.shape[1] ** 0.5 for values in entered.values()], dim=-1)


def utterances_of(features: FeatureSet) -> Utterances:
    return Utterances(features.x, features.present)


def _absent(utterances: Utterances, name: str) -> Tensor:
    return ~utterances.present[name].unsqueeze(-1)  # (N, 1)

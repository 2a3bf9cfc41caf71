"""The placement of synthetic utterances: they replace real ones in copies of their dialogues.

In a copy only the synthetic utterances are labelled; the others are context and are not trained on twice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cberl.data.dialogue import UNLABELLED
from cberl.data.features import FeatureSet
from cberl.training.augment.space import Utterances

# (features, slots int[n], random generator) -> an utterance for each slot, of the class of the slot's label.
Maker = Callable[[FeatureSet, Tensor, torch.Generator], Utterances]


def shortage(label: Tensor, classes: int, cap: float) -> Tensor:
    """int[C]: how many utterances each class lacks to the median class's count, or to `cap` times its own if less.

    The median is taken over the classes that occur.
    """
    count = torch.bincount(label[label >= 0], minlength=classes)
    median = count[count > 0].double().quantile(0.5)
    goal = torch.minimum(median, cap * count.double()).floor().long()
    return (goal - count).clamp(min=0)


def choose_slots(label: Tensor, missing: Tensor, random: torch.Generator) -> list[Tensor]:
    """Rounds of rows, int[n] each, with `missing[c]` rows of class c in total and no row twice within a round.

    Every row of a class is used once before any is used again.
    """
    rounds: list[list[Tensor]] = []
    for of_class, wanted in enumerate(missing.tolist()):
        rows = (label == of_class).nonzero().squeeze(1)
        shuffled = rows[torch.randperm(len(rows), generator=random)]
        uses = [shuffled[: wanted - start] for start in range(0, wanted, max(len(rows), 1))]
        for turn, use in enumerate(uses):
            if turn == len(rounds):
                rounds.append([])
            rounds[turn].append(use)
    return [torch.cat(parts).sort().values for parts in rounds]


def replaced(features: FeatureSet, slots: Tensor, synthetic: Utterances) -> FeatureSet:
    """Copies of the dialogues that contain `slots` int[n], with `synthetic` in the slots; only these are labelled."""
    label = torch.full_like(features.label, UNLABELLED).index_copy(0, slots, features.label[slots])
    whole = FeatureSet(
        x={name: values.index_copy(0, slots, synthetic.x[name]) for name, values in features.x.items()},
        present={name: has.index_copy(0, slots, synthetic.present[name]) for name, has in features.present.items()},
        speaker=features.speaker,
        label=label,
        lengths=features.lengths,
    )
    dialogue = torch.repeat_interleave(torch.arange(len(features.lengths)), features.lengths)
    batch, label = whole.batch(dialogue[slots].unique())
    return FeatureSet(batch.x, batch.present, batch.speaker, label, batch.lengths)


def joined(parts: list[FeatureSet]) -> FeatureSet:
    """Feature sets concatenated."""
    first = parts[0]
    return FeatureSet(
        x={name: torch.cat([part.x[name] for part in parts]) for name in first.x},
        present={name: torch.cat([part.present[name] for part in parts]) for name in first.present},
        speaker=torch.cat([part.speaker for part in parts]),
        label=torch.cat([part.label for part in parts]),
        lengths=torch.cat([part.lengths for part in parts]),
    )


def lift(features: FeatureSet, make: Maker, classes: int, *, cap: float, seed: int) -> FeatureSet:
    """Real dialogues, then copies with as many utterances from `make` as the rare classes lack."""
    missing = shortage(features.label, classes, cap)
    random = torch.Generator().manual_seed(seed)
    rounds = choose_slots(features.label, missing, random)  # before `make` draws, so that all methods share the slots
    return joined([features, *(replaced(features, slots, make(features, slots, random)) for slots in rounds)])

"""The number of synthetic utterances, their slots, and the labels in copies."""

import pytest
import torch

from cberl.data.dialogue import UNLABELLED
from cberl.data.features import FeatureSet
from cberl.training.augment.placement import choose_slots, lift, shortage
from cberl.training.augment.space import Utterances


def labels(*counts: int) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def features(label: torch.Tensor, lengths: list[int]) -> FeatureSet:
    n = len(label)
    x = {"text": torch.arange(n * 3.0).view(n, 3), "audio": torch.zeros(n, 1)}  # (n * 3,) -> (n, 3)
    present = {"text": torch.ones(n, dtype=torch.bool), "audio": torch.zeros(n, dtype=torch.bool)}
    return FeatureSet(x, present, torch.arange(n) % 2, label, torch.tensor(lengths))


def marked(features: FeatureSet, slots: torch.Tensor, random: torch.Generator) -> Utterances:
    """The features are the number of the slot."""
    x = {"text": -slots.unsqueeze(1).repeat(1, 3).float(), "audio": torch.ones(len(slots), 1)}
    return Utterances(x, {name: torch.ones(len(slots), dtype=torch.bool) for name in x})


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        # MELD's training counts: the median is anger's 1109; fear and disgust stop at three times their own.
        ((4710, 1205, 268, 683, 1743, 271, 1109), [0, 0, 536, 426, 0, 542, 0]),
        ((100, 40, 10), [0, 0, 20]),
        ((100, 40, 30), [0, 0, 10]),
        ((100, 61, 50, 10), [0, 0, 5, 20]),  # four classes: the median is 55.5, and counts are whole
        ((100, 0, 50, 10), [0, 0, 0, 20]),  # a class that does not occur is ignored
        ((5, 5, 5), [0, 0, 0]),
    ],
)
def test_a_class_grows_to_the_median_or_the_cap(counts: tuple[int, ...], missing: list[int]) -> None:
    label = torch.cat([labels(*counts), torch.full((7,), UNLABELLED)])
    assert shortage(label, len(counts), cap=3.0).tolist() == missing


def test_slots_are_used_evenly_and_once_per_round() -> None:
    label = labels(20, 4, 3)[torch.randperm(27, generator=torch.Generator().manual_seed(0))]
    rounds = choose_slots(label, torch.tensor([0, 7, 6]), torch.Generator().manual_seed(1))
    assert [len(slots) for slots in rounds] == [4 + 3, 3 + 3]
    assert all(len(slots.unique()) == len(slots) for slots in rounds)
    chosen = torch.cat(rounds)
    assert torch.bincount(label[chosen], minlength=3).tolist() == [0, 7, 6]
    assert torch.bincount(chosen).max() == 2


def test_copies_are_labelled_at_synthetic_slots_only_and_otherwise_equal() -> None:
    label = torch.tensor([0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, UNLABELLED])
    real = features(label, [4, 3, 8])
    lifted = lift(real, marked, 3, cap=2.0, seed=0)
    # Counts 7, 3, 4: class 1 is one short of the median, so one of its three slots is used, in one copy.
    assert torch.equal(lifted.x["text"][:15], real.x["text"])
    assert torch.equal(lifted.label[:15], label)
    assert lifted.lengths[:3].tolist() == [4, 3, 8]
    assert len(lifted.lengths) == 4
    made = 15 + (lifted.label[15:] >= 0).nonzero().squeeze(1)
    assert lifted.label[made].tolist() == [1]
    assert len(lifted.label) == 15 + int(lifted.lengths[3])
    slot = int(-lifted.x["text"][made, 0])
    first = 0 if slot < 4 else 7
    assert label[slot] == 1
    assert int(made) - 15 == slot - first
    assert int(lifted.lengths[3]) == (4 if slot < 4 else 8)
    around = torch.arange(15, len(lifted.label)) != made
    rows = first + torch.arange(int(lifted.lengths[3]))
    assert torch.equal(lifted.x["text"][15:][around], real.x["text"][rows][around])
    assert torch.equal(lifted.speaker[15:], real.speaker[rows])
    assert lifted.present["audio"][15:].tolist() == (~around).tolist()


def test_several_slots_share_a_copy_and_the_seed_decides_which() -> None:
    label = torch.tensor([0, 1, 1, 0] * 6 + [0] * 60 + [2] * 60)
    real = features(label, [4] * 6 + [120])
    lifted = lift(real, marked, 3, cap=3.0, seed=0)
    # 12 of class 1 become 36, the most its cap allows: each of its 6 dialogues is copied twice, 2 slots filled in each.
    assert torch.bincount(lifted.label[lifted.label >= 0]).tolist() == [72, 36, 60]
    assert lifted.lengths.tolist() == [4] * 6 + [120] + [4] * 12
    some = [lift(real, marked, 3, cap=1.5, seed=seed).x["text"] for seed in (0, 0, 1)]
    assert torch.equal(some[0], some[1])
    assert some[0].shape != some[2].shape or not torch.equal(some[0], some[2])
    assert torch.equal(real.label, label)  # the input is not changed

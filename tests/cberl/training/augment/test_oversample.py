"""The baselines: repetition, and SMOTE's points between neighbours."""

import torch

from cberl.data.features import FeatureSet
from cberl.training.augment.oversample import oversample, smote
from cberl.training.augment.space import Space, utterances_of


def features(n: int = 60) -> FeatureSet:
    draw = torch.Generator().manual_seed(3)
    has = torch.rand(n, generator=draw) < 0.6
    x = {
        "text": torch.randn(n, 5, generator=draw),
        "audio": torch.randn(n, 2, generator=draw).masked_fill(~has.unsqueeze(1), 0.0),
    }
    present = {"text": torch.ones(n, dtype=torch.bool), "audio": has}
    label = torch.randint(-1, 3, (n,), generator=draw)
    return FeatureSet(x, present, torch.zeros(n, dtype=torch.long), label, torch.tensor([n]))


def test_oversampling_repeats_the_utterance_of_the_slot() -> None:
    real, slots = features(), torch.tensor([5, 1, 5])
    made = oversample(real, slots, torch.Generator())
    assert torch.equal(made.x["text"], real.x["text"][slots])
    assert torch.equal(made.present["audio"], real.present["audio"][slots])


def test_smote_lies_between_the_slot_and_a_near_neighbour_of_its_class() -> None:
    real, k = features(), 3
    slots = (real.label >= 1).nonzero().squeeze(1).repeat(4)
    made = smote(real, slots, torch.Generator().manual_seed(0), neighbours=k)
    points = Space.of(real).joined(utterances_of(real))
    both = torch.cat([real.x["text"], real.x["audio"]], dim=1)
    point = torch.cat([made.x["text"], made.x["audio"]], dim=1)
    moved = 0
    for i, slot in enumerate(slots.tolist()):
        alike = (real.label == real.label[slot]) & (real.present["audio"] == real.present["audio"][slot])
        alike[slot] = False
        members = alike.nonzero().squeeze(1)
        near = members[(points[members] - points[slot]).norm(dim=1).argsort()[:k]]
        step, along = point[i] - both[slot], both[near] - both[slot]  # (d,), (k, d)
        weight = (along @ step) / along.square().sum(1)  # of the nearest point on the line of each segment
        off = (along * weight.unsqueeze(1) - step).norm(dim=1)
        assert off.min() < 1e-5
        assert -1e-6 <= weight[off.argmin()] <= 1
        moved += int(step.norm() > 1e-3)
        assert made.present["audio"][i] == real.present["audio"][slot]
        assert real.present["audio"][slot] or (made.x["audio"][i] == 0).all()
    assert moved > 0.9 * len(slots)


def test_smote_repeats_an_utterance_without_a_neighbour() -> None:
    real = features()
    real.label[real.label == 2] = 1
    real.label[7] = 2
    made = smote(real, torch.tensor([7, 7]), torch.Generator().manual_seed(0))
    assert torch.equal(made.x["text"], real.x["text"][[7, 7]])


def test_same_seed_same_points() -> None:
    real, slots = features(), (features().label == 1).nonzero().squeeze(1)
    one, two, other = (smote(real, slots, torch.Generator().manual_seed(seed)).x["text"] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)

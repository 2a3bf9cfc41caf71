"""Variants of a split with fewer modalities or without context."""

import pytest
import torch

from cberl.data.features import FeatureSet
from cberl.evaluation.variants import half_missing, only, share_missing, without_context
from testing.toys import features

NAMES = ("text", "audio", "visual")


def many(utterances: int = 60_000) -> FeatureSet:
    there = {name: torch.ones(utterances, dtype=torch.bool) for name in NAMES}
    x = {name: torch.zeros(utterances, 1) for name in NAMES}
    ids = torch.zeros(utterances, dtype=torch.long)
    return FeatureSet(x, there, ids, ids, torch.tensor([utterances]))


def test_only_and_without_context() -> None:
    given = features()
    assert not only(given, ["text"]).present["audio"].any()
    assert torch.equal(only(given, ["text"]).present["text"], given.present["text"])
    assert without_context(given).lengths.tolist() == [1] * 60


@pytest.mark.parametrize(("names", "share"), [(NAMES, (3 / 2 - 1 / 8) / 3), (NAMES[:2], (2 / 2 - 1 / 4) / 2)])
def test_half_is_missing_except_for_last_modalities(names: tuple[str, ...], share: float) -> None:
    complete = many()
    less = half_missing(complete, names, seed=0)
    # each is removed with probability 1/2; with 2^-M all M would be, and then one is kept
    assert share_missing(complete, less, names) == pytest.approx(share, abs=0.005)
    kept = torch.stack([less.present[name] for name in names])
    assert kept.any(0).all()
    assert kept.double().mean(1).tolist() == pytest.approx([1 - share] * len(names), abs=0.01)


def test_only_present_modalities_are_removed() -> None:
    given = features()
    less = half_missing(given, ("text", "audio"), seed=1)
    assert not (less.present["audio"] & ~given.present["audio"]).any()
    assert less.present["text"][~given.present["audio"]].all()  # the last one
    again, other = (half_missing(given, ("text", "audio"), seed).present["text"] for seed in (1, 2))
    assert torch.equal(less.present["text"], again)
    assert not torch.equal(less.present["text"], other)

"""A split with less in it is what it says."""

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


def test_less_is_less() -> None:
    given = features()
    assert not only(given, ["text"]).present["audio"].any()
    assert torch.equal(only(given, ["text"]).present["text"], given.present["text"])
    assert without_context(given).lengths.tolist() == [1] * 60


@pytest.mark.parametrize(("names", "share"), [(NAMES, (3 / 2 - 1 / 8) / 3), (NAMES[:2], (2 / 2 - 1 / 4) / 2)])
def test_half_is_missing_but_for_what_is_spared(names: tuple[str, ...], share: float) -> None:
    complete = many()
    less = half_missing(complete, names, seed=0)
    # each is lost with 1/2, and with 2^-M all M would be: then one is kept
    assert share_missing(complete, less, names) == pytest.approx(share, abs=0.005)
    kept = torch.stack([less.present[name] for name in names])
    assert kept.any(0).all()
    assert kept.double().mean(1).tolist() == pytest.approx([1 - share] * len(names), abs=0.01)


def test_what_is_missing_is_drawn_from_what_is_there() -> None:
    given = features()
    less = half_missing(given, ("text", "audio"), seed=1)
    assert not (less.present["audio"] & ~given.present["audio"]).any()
    assert less.present["text"][~given.present["audio"]].all()  # the last one
    again, other = (half_missing(given, ("text", "audio"), seed).present["text"] for seed in (1, 2))
    assert torch.equal(less.present["text"], again)
    assert not torch.equal(less.present["text"], other)

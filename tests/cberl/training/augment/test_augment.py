"""All methods fill the same slots."""

from typing import get_args

import pytest
import torch

from cberl.data.features import FeatureSet
from cberl.training.augment.augment import AugmentConfig, Method, augment
from cberl.training.augment.checks import synthetic_rows
from cberl.training.augment.gan import GanConfig

SHORT = GanConfig(steps=3, batch=8, hidden_dim=8)


def corpus() -> FeatureSet:
    draw = torch.Generator().manual_seed(0)
    label = torch.tensor([0, 1, 0, 2, 0, 1, 3, 0, 1, 0] * 8)
    there = torch.ones(80, dtype=torch.bool)
    x = {"text": torch.randn(80, 6, generator=draw), "audio": torch.randn(80, 2, generator=draw)}
    return FeatureSet(x, dict.fromkeys(x, there), torch.arange(80) % 3, label, torch.full((16,), 5))


def test_methods_differ_in_the_synthetic_utterances_only() -> None:
    real = corpus()
    made = {
        method: augment(real, AugmentConfig(method=method, gan=SHORT, seed=4), 4)
        for method in get_args(Method)
        if method != "none"
    }
    first = made["oversample"]
    assert torch.bincount(first.label[first.label >= 0]).tolist() == [40, 24, 16, 16]  # median of 40, 24, 8, 8
    for other in made.values():
        assert torch.equal(other.label, first.label)
        assert torch.equal(other.speaker, first.speaker)
        assert torch.equal(other.lengths, first.lengths)
        around = other.label < 0
        assert torch.equal(other.x["text"][around], first.x["text"][around])
        utterances, label = synthetic_rows(other, 80)
        assert len(label) == len(utterances.x["text"]) == 16
    some = {method: synthetic_rows(one, 80)[0].x["text"] for method, one in made.items()}
    assert not torch.isclose(some["oversample"], some["smote"]).all(-1).any()
    assert not torch.isclose(some["oversample"], some["gan"]).all(-1).any()


@pytest.mark.parametrize("method", get_args(Method))
def test_nothing_is_added_without_a_method_or_a_shortage(method: Method) -> None:
    real = corpus()
    assert augment(real, AugmentConfig(), 4) is real
    even = FeatureSet(real.x, real.present, real.speaker, torch.arange(80) % 4, real.lengths)
    assert augment(even, AugmentConfig(method=method), 4) is even

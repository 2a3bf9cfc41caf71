"""Comparisons against hand counts and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from cberl.calibration import Calibration
from cberl.checkpoint import Checkpoint
from cberl.config import ModelConfig
from cberl.data.features import FeatureSet
from cberl.model import CBERL
from cberl.training.compare import Group, difference, measure, only, without_context
from cberl.training.train import predict

CONFIG = ModelConfig(labels=("a", "b", "c"), text_dim=6, audio_dim=4, latent_dim=8, hidden_dim=8, heads=2)


def features() -> FeatureSet:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(-1, 3, (60,), generator=generator)
    return FeatureSet(
        {"text": torch.randn(60, 6, generator=generator), "audio": torch.randn(60, 4, generator=generator)},
        {"text": torch.ones(60, dtype=torch.bool), "audio": torch.arange(60) % 3 > 0},
        torch.arange(60) % 2,
        label,
        torch.full((12,), 5),
    )


def group(name: str, *seeds: int) -> Group:
    made = []
    for seed in seeds:
        torch.manual_seed(seed)
        made.append(Checkpoint(name, CBERL(CONFIG).eval(), Calibration((0.0, 0.0, 0.0))))
    return Group(name, made)


def test_the_difference_of_single_seeds_is_that_of_their_scores() -> None:
    one, two, given = group("one", 1), group("two", 2), features()
    known = given.label >= 0
    f1 = [
        100 * f1_score(given.label[known], predict(g.checkpoints[0].model, given)[0].argmax(-1)[known], average="macro")
        for g in (one, two)
    ]
    found = difference(one, two, given)["macro_f1"]
    assert found["difference"] == pytest.approx(f1[0] - f1[1], abs=0.01)
    assert found["low"] < found["difference"] < found["high"]
    assert difference(two, one, given)["macro_f1"]["difference"] == pytest.approx(-found["difference"])


def test_less_is_less() -> None:
    given = features()
    assert not only(given, ["text"]).present["audio"].any()
    assert torch.equal(only(given, ["text"]).present["text"], given.present["text"])
    assert without_context(given).lengths.tolist() == [1] * 60
    measured = measure(group("both", 1, 2), given)
    assert measured["seeds"] == 2
    assert measured["subsets"].keys() == {"text", "audio"}
    assert np.sum(measured["confusion"]) == 2 * int((given.label >= 0).sum())

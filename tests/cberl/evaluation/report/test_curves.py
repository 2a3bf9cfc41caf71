"""Curves of synthetic predictions, computed by hand."""

import math

import pytest
import torch

from cberl.calibration import Calibration
from cberl.evaluation.evaluate import Predicted
from cberl.evaluation.report.curves import calibration, frontier, selective


def two_class(top: list[float], right: list[bool], given: Calibration) -> Predicted:
    """Decisions for class a with these probabilities, correct or wrong."""
    logits = torch.tensor([[math.log(p), math.log(1 - p)] for p in top], dtype=torch.double)
    label = torch.tensor([0 if one else 1 for one in right])
    return Predicted(("a", "b"), given, logits, label, torch.tensor([len(top)]))


def test_errors_before_and_after_the_temperature() -> None:
    sure = 0.9
    cooled = 1 / (1 + (sure / (1 - sure)) ** -0.5)  # at temperature 2: 0.75
    run = two_class([sure] * 4, [True, True, True, False], Calibration((0.0, 0.0), temperature=2.0))
    found = calibration([run])
    assert found["before"]["ece"]["mean"] == found["before"]["mce"]["mean"] == pytest.approx(15)
    assert cooled == pytest.approx(0.75)
    assert found["after"]["ece"]["mean"] == pytest.approx(0, abs=0.01)
    assert sum(found["after"]["count"]) == 4
    assert [row for row in found["after"]["accuracy"] if row is not None] == [75]


def test_scores_of_the_most_confident_and_of_those_above_the_threshold() -> None:
    top = [0.95, 0.9, 0.8, 0.7, 0.6]
    run = two_class(top, [True, True, True, False, True], Calibration((0.0, 0.0), uncertain_below=0.75))
    found = selective([run], 0.8)
    assert found["stated_coverage"] == 80
    assert found["chosen"]["coverage"]["mean"] == 60
    assert found["chosen"]["accuracy"]["mean"] == 100
    curve = {row["asked"]: row for row in found["curve"]}
    assert curve[80]["accuracy"]["mean"] == 75
    assert curve[100]["coverage"]["mean"] == 100
    assert curve[100]["weighted_f1"]["mean"] == pytest.approx(80 * 8 / 9, abs=0.01)  # 4 of 5 are a: P 4/5, R 1
    assert found["aurc"]["mean"] == pytest.approx(100 * (0 + 0 + 0 + 1 / 4 + 1 / 5) / 5)


def test_the_frontier_has_the_decisions_of_each_tau() -> None:
    prior = (math.log(0.9), math.log(0.1))  # tau raises b by tau * log 9 relative to a
    run = two_class([0.6, 0.95], [False, True], Calibration(prior, tau=0.2))
    found = frontier([run])
    turning = math.log(0.6 / 0.4) / math.log(9)  # 0.1845
    by_tau = {row["tau"]: row["macro_f1"]["mean"] for row in found["curve"]}
    assert by_tau[0] == pytest.approx(100 / 3, abs=0.01)  # all a: F1 2/3 and 0
    assert 0.15 < turning < 0.2
    assert by_tau[0.15] == by_tau[0]
    assert by_tau[0.2] == 100
    assert found["chosen"]["tau"] == [0.2]
    assert found["chosen"]["macro_f1"]["mean"] == 100

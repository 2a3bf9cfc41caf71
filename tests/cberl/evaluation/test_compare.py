"""Scores compared with scikit-learn, and intervals that are known without resampling."""

import pytest
import torch
from sklearn.metrics import f1_score

from cberl.calibration import Calibration
from cberl.evaluation.compare import difference, macro_f1, summed_f1, weighted_f1
from cberl.evaluation.evaluate import Predicted
from testing.toys import features, group

NAMES = ("a", "b", "c")


def run(decided: list[int], label: list[int], lengths: list[int]) -> Predicted:
    logits = torch.eye(len(NAMES))[decided]
    return Predicted(NAMES, Calibration((0.0,) * 3), logits, torch.tensor(label), torch.tensor(lengths))


@pytest.mark.parametrize(("average", "statistic"), [("macro", macro_f1), ("weighted", weighted_f1)])
def test_the_difference_is_that_of_the_mean_scores(average, statistic) -> None:  # type: ignore[no-untyped-def]
    given = features()
    one, two = group("one", 1).predict(given), group("two", 2, 3).predict(given)

    def mean(runs: list[Predicted]) -> float:
        pairs = [(r.labelled()[1], r.labelled()[0].argmax(-1)) for r in runs]
        return 100 * sum(f1_score(label, decided, average=average) for label, decided in pairs) / len(pairs)

    found = difference(one, two, statistic)
    assert found["difference"] == pytest.approx(mean(one) - mean(two), abs=0.01)
    assert found["low"] < found["difference"] < found["high"]
    assert difference(two, one, statistic)["difference"] == pytest.approx(-found["difference"])


def test_the_difference_of_equal_runs_is_exactly_zero() -> None:
    runs = group("one", 1).predict(features())
    assert difference(runs, runs * 3, macro_f1) == {"difference": 0, "low": 0, "high": 0}


def test_the_sum_of_two_classes_by_hand() -> None:
    label, lengths = [0, 0, 1, 1, 2, 2], [6]
    # b: one of two correct, one false positive -> 2 / 4; c: two correct, one false positive -> 4 / 5.
    # A single dialogue has only one resample.
    found = difference([run([0, 1, 1, 2, 2, 2], label, lengths)], [run(label, label, lengths)], summed_f1([1, 2]))
    assert found == {"difference": -70.0, "low": -70.0, "high": -70.0}

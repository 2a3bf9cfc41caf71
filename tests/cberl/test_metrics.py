"""Scores compared with scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from cberl.metrics import score

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_the_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, predictions = random.integers(0, 4, 200), random.integers(0, 4, 200)
    ours = score(labels, predictions, NAMES)
    np.testing.assert_allclose(ours.f1, 100 * f1_score(labels, predictions, average=None))
    assert ours.weighted_f1 == pytest.approx(100 * f1_score(labels, predictions, average="weighted"))
    assert ours.macro_f1 == pytest.approx(100 * f1_score(labels, predictions, average="macro"))
    np.testing.assert_array_equal(ours.confusion, confusion_matrix(labels, predictions))


def test_a_class_that_does_not_occur_is_ignored() -> None:
    ours = score(np.array([0, 0, 1]), np.array([0, 0, 1]), NAMES)
    assert ours.macro_f1 == 100.0
    assert ours.f1.tolist() == [100.0, 100.0, 0.0, 0.0]

"""The plot of `cberl evaluate --plot`."""

from pathlib import Path

import numpy as np

from cberl.evaluation.report.plots import plot_confusion
from cberl.metrics import score


def test_the_confusion_matrix_is_drawn_even_with_a_class_that_does_not_occur(tmp_path: Path) -> None:
    scores = score(np.array([0, 0, 1]), np.array([0, 2, 1]), ("a", "b", "c"))
    plot_confusion(scores, tmp_path / "new" / "confusion.png")
    assert (tmp_path / "new" / "confusion.png").read_bytes().startswith(b"\x89PNG")

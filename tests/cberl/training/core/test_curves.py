"""TensorBoard's reader finds one point per epoch, also after a run was resumed."""

import logging
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cberl.training.core import curves
from cberl.training.core.curves import Curves


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return [(one.step, one.value) for one in reader.Scalars(name)]


def test_a_resumed_run_continues_the_same_curve(tmp_path: Path) -> None:
    with Curves(tmp_path, after=0) as first:
        for epoch in (1, 2, 3):
            first.add(epoch, {"dev/macro_f1": 10.0 * epoch})
    with Curves(tmp_path, after=2) as second:  # the run was killed between writing the third point and saving the epoch
        for epoch in (3, 4):
            second.add(epoch, {"dev/macro_f1": 20.0 * epoch})
    assert points(tmp_path, "dev/macro_f1") == [(1, 10), (2, 20), (3, 60), (4, 80)]


def test_without_tensorboard_there_is_one_warning_and_no_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    curves._writer.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with Curves(tmp_path, after=0) as drawn:
                drawn.add(1, {"loss/total": 1.0})
    curves._writer.cache_clear()
    assert [one.message for one in caplog.records] == [
        "no curves: TensorBoard is not installed (pip install 'cberl-engine[train]')"
    ]
    assert list(tmp_path.iterdir()) == []

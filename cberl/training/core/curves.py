"""TensorBoard curves of a run, in its folder: `tensorboard --logdir runs`."""

import logging
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Curves:
    """Scalars of one run. Without TensorBoard (the `train` extra) nothing is written, and a warning is logged once."""

    def __init__(self, folder: Path, after: int) -> None:
        """after: the last valid epoch; later ones, of a run that was killed, are removed from the curves."""
        writer = _writer()
        self._writer = writer and writer(folder, purge_step=after + 1 if after else None)

    def add(self, epoch: int, values: dict[str, float]) -> None:
        """Written to disk before this returns."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.close()


@cache
def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, so only for training
    except ImportError:
        log.warning("no curves: TensorBoard is not installed (pip install 'cberl-engine[train]')")
        return None
    return SummaryWriter

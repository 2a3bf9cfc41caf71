"""TensorBoard curves of a run, in its folder: `tensorboard --logdir runs`."""

import logging
import time
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
        if writer and after:
            _wait_for_a_later_name(folder)
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


def _wait_for_a_later_name(folder: Path) -> None:
    """At most one second.

    TensorBoard reads the files of a run in the order of their names (events.out.tfevents.SECOND.HOST.PROCESS.NUMBER),
    compared as text. Of two files of the same second, that of the resumed run could be read first.
    """
    seconds = [int(file.name.split(".")[3]) for file in folder.glob("events.out.tfevents.*")]
    if max(seconds, default=0) == int(time.time()):
        time.sleep(1 - time.time() % 1)


@cache
def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, so only for training
    except ImportError:
        log.warning("no curves: TensorBoard is not installed (pip install 'cberl-engine[train]')")
        return None
    return SummaryWriter

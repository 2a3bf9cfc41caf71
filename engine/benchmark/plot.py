"""The curve of a measurement as a picture. Needs matplotlib (the `train` extra)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cberl.errors import train_extra
from engine.benchmark.result import Row


def require_matplotlib() -> None:
    """Raises TrainingError where it is not installed: before minutes are spent on a measurement."""
    with train_extra():
        import matplotlib  # noqa: F401


def plot(rows: Sequence[Row], target_p95_s: float, title: str, path: Path) -> None:
    """Milliseconds after speech over the number of conversations, and below it the processor time."""
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    matplotlib.use("Agg")
    known = sorted((row for row in rows if row.p95_ms is not None), key=lambda row: row.conversations)
    numbers = [row.conversations for row in known]
    figure, (late, cores) = pyplot.subplots(
        2, 1, figsize=(7, 6), sharex=True, layout="constrained", height_ratios=(2, 1)
    )
    try:
        for name, marker in (("p50_ms", "o"), ("p95_ms", "s"), ("p99_ms", "^")):
            late.plot(numbers, [getattr(row, name) for row in known], f"{marker}-", label=name.removesuffix("_ms"))
        late.axhline(1e3 * target_p95_s, color="grey", linestyle="--", label="target of p95")
        late.set(title=title, ylabel="end of speech to event, ms", ylim=(0, None))
        late.legend()
        _cores(cores, known, numbers)
        cores.set(xlabel="conversations", ylabel="cores used", ylim=(0, None))
        cores.legend()
        cores.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.savefig(path, dpi=110)
    finally:
        pyplot.close(figure)


def _cores(axes: Any, rows: Sequence[Row], numbers: Sequence[int]) -> None:
    if all(row.server_cores is not None for row in rows):
        axes.plot(numbers, [row.server_cores for row in rows], "o-", label="server")
    axes.plot(numbers, [row.driver_cores for row in rows], "x--", color="grey", label="this driver")

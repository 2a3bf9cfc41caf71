"""The plots of a report, as PNG. They need matplotlib (the `train` extra)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cberl.errors import train_extra
from cberl.evaluation.report.embedding import Map
from cberl.metrics import Scores

_KINDS = (("weighted_f1", "weighted F1"), ("macro_f1", "macro F1"))
Row = dict[str, Any]


def plot_all(found: dict[str, Any], maps: Sequence[Map], folder: Path) -> None:
    """Writes all plots that have data."""
    folder.mkdir(parents=True, exist_ok=True)
    groups, labels = found["groups"], found["labels"]
    _classes(groups, labels, folder / "classes.png")
    plot_confusion(_scores(groups[0], labels), folder / "confusion.png")
    _modalities(found["modalities"], folder / "modalities.png")
    _reliability(found["calibration"], folder / "reliability.png")
    _selective(found["selective"], folder / "selective.png")
    _frontier(found["frontier"], folder / "frontier.png")
    _maps(maps, labels, folder / "maps.png")
    if len(groups) > 1:
        _forest(groups, folder / "forest.png")
    if found["future"]["rows"]:
        _future(found["future"]["rows"], folder / "future.png")
    if found["misheard"]:
        _asr_corrupted(found["misheard"], folder / "misheard.png")


def plot_confusion(scores: Scores, path: Path) -> None:
    """Row-normalised confusion matrix."""
    shares = scores.confusion / np.maximum(scores.support, 1)[:, None]
    with _figure(path, 6.5, 5.5) as (figure, axes):
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(scores.labels)), scores.labels, rotation=45, ha="right")
        axes.set_yticks(range(len(scores.labels)), scores.labels)
        axes.set(xlabel="predicted", ylabel="labelled")
        axes.set_title(f"weighted F1 {scores.weighted_f1:.1f}, macro F1 {scores.macro_f1:.1f}")
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{scores.confusion[row, column]}", ha="center", va="center", color=ink, fontsize=8)
        figure.colorbar(image, label="share of the label")


def _scores(group: Row, labels: Sequence[str]) -> Scores:
    confusion = np.array(group["confusion"])
    return Scores(
        tuple(labels), np.array([group["f1"][label]["mean"] for label in labels]), confusion.sum(1), confusion
    )


def _classes(groups: Sequence[Row], labels: Sequence[str], path: Path) -> None:
    """F1 by class with the sd over seeds, one column of points per class."""
    with _figure(path, 10, 4 + 0.15 * len(groups)) as (figure, axes):
        for n, group in enumerate(groups):
            at = np.arange(len(labels)) + (n - (len(groups) - 1) / 2) * 0.8 / len(groups)
            mean, sd = _columns([group["f1"][label] for label in labels])
            axes.errorbar(at, mean, sd, fmt="o", color=_colours(len(groups))[n], label=group["name"], capsize=2, ms=4)
        for between in np.arange(len(labels) - 1) + 0.5:
            axes.axvline(between, color="lightgrey", linewidth=1)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylabel("F1, %")
        figure.legend(loc="outside lower center", ncols=4, fontsize=8)


def _forest(groups: Sequence[Row], path: Path) -> None:
    """Differences to the first group with their intervals."""
    others = groups[1:]
    with _figure(path, 10, 1.4 + 0.35 * len(others), columns=2) as (_, both):
        for axes, (key, name) in zip(both, _KINDS, strict=True):
            for n, group in enumerate(others):
                _interval(axes, group["against_first"][key], n)
            axes.axvline(0, color="grey", linewidth=1)
            axes.set_yticks(range(len(others)), [group["name"] for group in others] if axes is both[0] else [])
            axes.invert_yaxis()
            axes.set_xlabel(f"{name} minus that of {groups[0]['name']}, points")


def _interval(axes: Any, one: Row, at: int) -> None:
    reach = [[max(one["difference"] - one["low"], 0)], [max(one["high"] - one["difference"], 0)]]
    axes.errorbar(one["difference"], at, xerr=reach, fmt="o", color="black", capsize=3)


def _modalities(found: Row, path: Path) -> None:
    rows = {**found["subsets"], "random half missing": found["half_missing"]}
    with _figure(path, 8, 1.8 + 0.4 * len(rows)) as (figure, axes):
        for n, (key, name) in enumerate(_KINDS):
            mean, sd = _columns([row[key] for row in rows.values()])
            axes.barh(np.arange(len(rows)) + (n - 0.5) * 0.38, mean, 0.38, xerr=sd, label=name, capsize=2)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set_xlabel("F1, %")
        figure.legend(loc="outside lower center", ncols=2)


def _future(rows: Sequence[Row], path: Path) -> None:
    names = ["all" if row["later"] is None else str(row["later"]) for row in rows]
    with _figure(path, 6, 4) as (_, axes):
        _curves(axes, np.arange(len(rows)), rows)
        axes.set_xticks(range(len(rows)), names)
        axes.set(xlabel="later utterances that are waited for", ylabel="F1, %")


def _reliability(found: Row, path: Path) -> None:
    with _figure(path, 9, 4.5, columns=2) as (_, both):
        for axes, (key, name) in zip(
            both, (("before", "without temperature"), ("after", "with temperature")), strict=True
        ):
            one = found[key]
            points = [p for p in zip(one["confidence"], one["accuracy"], one["count"], strict=True) if p[2]]
            sure, right, count = (np.array(column, dtype=float) for column in zip(*points, strict=True))
            axes.plot([0, 100], [0, 100], color="grey", linewidth=1)
            axes.plot(sure, right, color="black", linewidth=1)
            axes.scatter(sure, right, 10 + 250 * count / count.max(), color="tab:blue", zorder=3)
            axes.set(
                xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", title=f"{name}: ECE {one['ece']['mean']:.1f} %"
            )
        both[0].set_ylabel("accuracy, %")


def _selective(found: Row, path: Path) -> None:
    with _figure(path, 6, 4) as (_, axes):
        at = [row["coverage"]["mean"] for row in found["curve"]]
        for key, name in (*_KINDS, ("accuracy", "accuracy")):
            line = axes.plot(at, [row[key]["mean"] for row in found["curve"]], label=name)
            axes.plot(found["chosen"]["coverage"]["mean"], found["chosen"][key]["mean"], "o", color=line[0].get_color())
        axes.set(xlabel="coverage: share of utterances not called uncertain, %", ylabel="%")
        axes.legend()


def _frontier(found: Row, path: Path) -> None:
    with _figure(path, 6, 4.5) as (_, axes):
        weighted, macro = ([row[key]["mean"] for row in found["curve"]] for key, _ in _KINDS)
        axes.plot(weighted, macro, ".-", color="tab:blue", label="one tau for all seeds")
        for row in found["curve"][::5]:
            at = (row["weighted_f1"]["mean"], row["macro_f1"]["mean"])
            axes.annotate(f"{row['tau']:g}", at, textcoords="offset points", xytext=(5, 5), fontsize=8)
        chosen = found["chosen"]
        axes.plot(
            chosen["weighted_f1"]["mean"], chosen["macro_f1"]["mean"], "k*", ms=12, label="chosen on dev, by seed"
        )
        axes.set(xlabel="weighted F1, %", ylabel="macro F1, %")
        axes.legend()


def _asr_corrupted(rows: Sequence[Row], path: Path) -> None:
    corrupted = [row for row in rows if row["asked"] is not None]
    with _figure(path, 6, 4) as (_, axes):
        _curves(axes, [row["word_error_rate"] for row in corrupted], corrupted)
        for n, (key, _) in enumerate(_KINDS):
            axes.axhline(rows[0][key]["mean"], color=f"C{n}", linestyle=":")
        axes.set(xlabel="word error rate, % (dotted: the text as written)", ylabel="F1, %")


def _maps(maps: Sequence[Map], labels: Sequence[str], path: Path) -> None:
    with _figure(path, 4.2 * len(maps), 4.6, columns=len(maps)) as (figure, panels):
        for axes, one in zip(panels, maps, strict=True):
            for n, label in enumerate(labels):
                own = one.points[one.label == n]
                axes.scatter(own[:, 0], own[:, 1], 6, color=_colours(len(labels))[n], label=label, linewidths=0)
            axes.set(xticks=[], yticks=[], title=f"{one.title}: silhouette {one.silhouette:.3f}")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(labels), markerscale=2, fontsize=8)


def _curves(axes: Any, at: Any, rows: Sequence[Row]) -> None:
    for key, name in _KINDS:
        mean, sd = _columns([row[key] for row in rows])
        axes.errorbar(at, mean, sd, fmt="o-", label=name, capsize=3)
    axes.legend()


def _columns(spreads: Sequence[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [one["mean"] for one in spreads], [one["sd"] for one in spreads]


def _colours(count: int) -> Sequence[Any]:
    from matplotlib import colormaps

    few = colormaps["tab10" if count <= 10 else "tab20"]
    return [few(n % few.N) for n in range(count)]


@contextmanager
def _figure(path: Path, width: float, height: float, columns: int | None = None) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes (a list of them with `columns`), written to `path` and closed."""
    with train_extra():
        import matplotlib
        from matplotlib import pyplot

    matplotlib.use("Agg")

    make: Callable[..., Any] = pyplot.subplots
    figure, axes = make(1, columns or 1, figsize=(width, height), layout="constrained", squeeze=False)
    try:
        yield figure, axes[0, 0] if columns is None else list(axes[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    finally:
        pyplot.close(figure)

"""One Markdown page of a comparison, with its plots and, beside it, every figure as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cberl.metrics import Scores
from cberl.training.evaluate import plot_confusion


def write_report(measured: dict[str, Any], out: Path) -> None:
    """`out`.md, `out`.json and plots in the folder `out`. `measured` is what `cberl report` gathers."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.mkdir(exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")
    groups = measured["groups"]
    _plot_classes(groups, measured["labels"], out / "classes.png")
    _plot_forest(groups, out / "forest.png")
    confusion = np.array(groups[0]["confusion"])
    plot_confusion(_scores(groups[0], measured["labels"], confusion), out / "confusion.png")
    out.with_suffix(".md").write_text(_page(measured, out.name))


def _page(measured: dict[str, Any], folder: str) -> str:
    groups, labels = measured["groups"], measured["labels"]
    first = groups[0]["name"]
    lines = [
        f"# {measured['corpus']}, {measured['split']}",
        "",
        f"Written by `{measured['command']}`. Percent; mean ± sd over seeds. Choices are made on dev; decisions and",
        "probabilities are calibrated on dev. No utterance sees a later one.",
        "",
        _row("", "seeds", "weighted F1", "macro F1", *labels, "ECE"),
        _row(*["---"] * (len(labels) + 5)),
    ]
    for group in groups:
        cells = [_spread(group[key]) for key in ("weighted_f1", "macro_f1")]
        cells += [_spread(group["f1"][label]) for label in labels]
        lines.append(_row(group["name"], str(group["seeds"]), *cells, _spread(group["ece"])))
    lines += ["", f"![F1 by class]({folder}/classes.png)", ""]
    if len(groups) > 1:
        lines += [f"## Against `{first}`", "", "Paired bootstrap over dialogues, 95 % intervals.", ""]
        lines += [_row("", "macro F1", "weighted F1"), _row("---", "---", "---")]
        for group in groups[1:]:
            against = group["against_first"]
            lines.append(_row(group["name"], _interval(against["macro_f1"]), _interval(against["weighted_f1"])))
        lines += ["", f"![Differences]({folder}/forest.png)", ""]
    lines += [f"## `{first}` with less", "", _row("", "weighted F1", "macro F1"), _row("---", "---", "---")]
    less = {f"only {name}": part for name, part in groups[0]["subsets"].items()}
    less |= {"every utterance alone": groups[0]["without_context"]}
    lines += [_row(name, _spread(part["weighted_f1"]), _spread(part["macro_f1"])) for name, part in less.items()]
    return "\n".join([*lines, "", f"![Confusion matrix, seeds summed]({folder}/confusion.png)", ""])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(value: dict[str, float]) -> str:
    return f"{value['mean']:.1f} ± {value['sd']:.1f}"


def _interval(value: dict[str, float]) -> str:
    return f"{value['difference']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"


def _scores(group: dict[str, Any], labels: list[str], confusion: Any) -> Scores:
    f1 = np.array([group["f1"][label]["mean"] for label in labels])
    return Scores(tuple(labels), f1, confusion.sum(1), confusion)


def _plot_classes(groups: list[dict[str, Any]], labels: list[str], path: Path) -> None:
    """Bars of F1 by class with the sd over seeds."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(10, 4), layout="constrained")
    width = 0.8 / len(groups)
    for n, group in enumerate(groups):
        spreads = [group["f1"][label] for label in labels]
        at = np.arange(len(labels)) + (n - (len(groups) - 1) / 2) * width
        sd = [spread["sd"] for spread in spreads]
        axes.bar(at, [spread["mean"] for spread in spreads], width, yerr=sd, label=group["name"], capsize=2)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("F1, %")
    axes.legend(ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _plot_forest(groups: list[dict[str, Any]], path: Path) -> None:
    """Macro-F1 differences against the first group with their intervals."""
    pyplot = _pyplot()
    others = groups[1:]
    figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.35 * len(others)), layout="constrained")
    for n, group in enumerate(others):
        one = group["against_first"]["macro_f1"]
        reach = [[one["difference"] - one["low"]], [one["high"] - one["difference"]]]
        axes.errorbar(one["difference"], n, xerr=reach, fmt="o", color="black", capsize=3)
    axes.axvline(0, color="grey", linewidth=1)
    axes.set_yticks(range(len(others)), [group["name"] for group in others])
    axes.invert_yaxis()
    axes.set_xlabel(f"macro F1 minus that of {groups[0]['name']}, points")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot

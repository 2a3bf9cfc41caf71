"""A report on disk: one Markdown page with plots, and all figures as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cberl.evaluation.report.embedding import Map
from cberl.evaluation.report.plots import plot_all
from cberl.evaluation.report.sections import SECTIONS


def write_report(found: dict[str, Any], maps: Sequence[Map], out: Path) -> None:
    """Writes `out`.md, `out`.json and plots in the folder `out`. `found` and `maps` are the results of `gather`."""
    plot_all(found, maps, out)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".md").write_text(page(found, out.name))


def page(found: dict[str, Any], folder: str) -> str:
    """The Markdown, with links to plots in `folder`."""
    lines = [
        f"# {found['corpus']}, {found['split']}",
        "",
        f"Written by `{found['command']}`: {found['utterances']} labelled utterances, {found['dialogues']} dialogues.",
        "Percent; mean ± sd over seeds. Choices are made on dev; decisions and probabilities are calibrated on dev.",
        "Intervals are of 95 %, by paired bootstrap over dialogues. No utterance sees a later one, unless its row",
        "says so.",
        "",
    ]
    for section in SECTIONS:
        lines += section(found, folder)
    return "\n".join(lines)

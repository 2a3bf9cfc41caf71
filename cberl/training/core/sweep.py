"""A sweep: all combinations of a grid of settings, with all seeds, and their comparison."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from cberl.metrics import spread
from cberl.training.core.recipe import Recipe, RecipeError, load_recipe
from cberl.training.core.runs import Result


@dataclass(frozen=True, slots=True)
class Combination:
    """A recipe with one value for each setting of the grid. `name` is that of its folder."""

    name: str
    choice: dict[str, str]
    recipe: Recipe


def combinations(recipe: str | None, settings: Sequence[str], grid: Sequence[str]) -> list[Combination]:
    """All combinations of a grid such as ["train.focal_gamma=0,1,2", "model.past=4,8"]; `settings` apply to each.

    Raises `RecipeError`.
    """
    values = dict(_axis(axis) for axis in grid)
    if len(values) < len(grid):
        raise RecipeError("a setting is in the grid twice: list all its values in one --grid")
    fixed = {setting.partition("=")[0].strip() for setting in settings}
    if both := sorted(fixed & values.keys()):
        raise RecipeError(f"{', '.join(both)} cannot be both set and in the grid")
    found = []
    for chosen in product(*values.values()):
        choice = dict(zip(values, chosen, strict=True))
        asked = [*settings, *(f"{key}={value}" for key, value in choice.items())]
        found.append(
            Combination(_name(choice) or _plain(Path(recipe or "default").stem), choice, load_recipe(recipe, asked))
        )
    if len({one.name for one in found}) < len(found):
        raise RecipeError("two combinations of the grid have the same name: a value is given twice")
    return found


def _axis(axis: str) -> tuple[str, list[str]]:
    key, _, values = axis.partition("=")
    listed = [value.strip() for value in values.split(",")]
    if not key.strip() or not all(listed):
        raise RecipeError(f"{axis!r} is not an axis of a grid: write it as train.focal_gamma=0,1,2")
    return key.strip(), listed


def _name(choice: dict[str, str]) -> str:
    """`focal_gamma=1,past=4`; with the names of the tables if the last parts alone are ambiguous."""
    last = [key.rpartition(".")[2] for key in choice]
    short = last if len(set(last)) == len(last) else list(choice)
    return ",".join(f"{key}={_plain(value)}" for key, value in zip(short, choice.values(), strict=True))


def _plain(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", value)


def compared(results: Mapping[str, Sequence[Result]]) -> list[dict[str, Any]]:
    """Dev scores over the seeds of each combination, best first."""
    rows = [
        {
            "name": name,
            "seeds": len(runs),
            "dev_weighted_f1": spread([run.dev_weighted_f1 for run in runs]),
            "dev_macro_f1": spread([run.dev_macro_f1 for run in runs]),
            "selection": round(mean(run.selection for run in runs), 2),
            "runs": [asdict(run) for run in runs],
        }
        for name, runs in results.items()
        if runs
    ]
    return sorted(rows, key=lambda row: -float(str(row["selection"])))

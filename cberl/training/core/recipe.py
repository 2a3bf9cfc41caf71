"""A recipe: the settings of a training run, as TOML. Its header holds the exact command.

The tables `[model]`, `[train]`, `[augment]` (with `[augment.gan]`) and `[compose]` have the fields of `ModelConfig`,
`TrainConfig`, `AugmentConfig` and `ComposeConfig`, all optional. `labels`, the sizes of modalities and the seed come
from the corpus and the command.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet
from cberl.errors import CberlError
from cberl.training.augment.augment import AugmentConfig
from cberl.training.features.compose import ComposeConfig

FOLDER = Path(__file__).parent.parent / "recipes"
_FROM_CORPUS = {"labels", "text_dim", "audio_dim", "visual_dim", "seed"}


class RecipeError(CberlError, ValueError):
    """A recipe or a setting is invalid. The message names the key."""


@dataclass(frozen=True, slots=True)
class Recipe:
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)

    def for_corpus(self, features: FeatureSet, labels: tuple[str, ...], seed: int) -> tuple[TrainConfig, AugmentConfig]:
        """The configurations of one run on these features."""
        sizes: dict[str, Any] = {f"{name}_dim": values.shape[1] for name, values in features.x.items()}
        sizes |= {f"{name}_dim": 0 for name in ("text", "audio", "visual") if name not in features.x}
        model = replace(self.model, labels=labels, **sizes)
        return replace(self.train, seed=seed, model=model), replace(self.augment, seed=seed)


def names() -> list[str]:
    """The bundled recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str | None, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or path (None = all defaults), changed by `settings` such as "train.focal_gamma=1".

    Raises `RecipeError`.
    """
    tables = {} if name is None else _read(name)
    for setting in settings:
        _set(tables, setting)
    _refuse_unknown(tables, Recipe, "")
    try:
        return TypeAdapter(Recipe).validate_python(tables)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{where}: {first['msg']}") from error


def _read(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise RecipeError(f"there is no recipe {name}: use a .toml file, or one of {', '.join(names())}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error


def _set(tables: dict[str, Any], setting: str) -> None:
    """`train.focal_gamma=1` -> tables["train"]["focal_gamma"] = 1"""
    key, equals, value = setting.partition("=")
    if not equals:
        raise RecipeError(f"{setting!r} is not a setting: write it as train.focal_gamma=1")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        parsed = value  # a bare word is a string
    *path, last = key.strip().split(".")
    for part in path:
        tables = tables.setdefault(part, {})
    tables[last] = parsed


def _refuse_unknown(tables: dict[str, Any], kind: Any, where: str) -> None:
    known = {one.name: one for one in fields(kind)}
    for key, value in tables.items():
        if key not in known or key in _FROM_CORPUS or (kind is TrainConfig and key == "model"):
            near = get_close_matches(key, set(known) - _FROM_CORPUS, n=1)
            raise RecipeError(
                f"{where}{key} is not a setting of a recipe" + (f"; did you mean {near[0]}?" if near else "")
            )
        inner = known[key].type
        if isinstance(value, dict) and is_dataclass(inner):
            _refuse_unknown(value, inner, f"{where}{key}.")

"""The differences between the settings of groups, by the names that `cberl train --set` takes."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cberl.checkpoint import Checkpoint

Settings = dict[str, Any]


def otherwise(theirs: Checkpoint, first: Checkpoint) -> Settings:
    """The settings of `theirs` that differ from those of `first`, except for seeds: `train.focal_gamma` -> 1.0."""
    one, other = _settings(theirs), _settings(first)
    return {key: value for key, value in one.items() if key not in other or other[key] != value}


def alike(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether their settings are equal, except for their use of later utterances."""
    return otherwise(one, other).keys() <= {"model.direction", "model.lookahead"}


def _settings(checkpoint: Checkpoint) -> Settings:
    stored = checkpoint.provenance
    tables = {
        "model": asdict(checkpoint.model.config),
        "train": stored.get("training"),
        "augment": stored.get("augment"),
        "compose": stored.get("compose"),
    }
    return {key: value for key, value in _flat(tables) if not key.endswith(".seed")}


def _flat(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value

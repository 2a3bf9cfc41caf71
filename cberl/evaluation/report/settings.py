"""How groups were trained: what one has otherwise than another, as `cberl train --set` takes it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cberl.checkpoint import Checkpoint

Settings = dict[str, Any]


def otherwise(theirs: Checkpoint, first: Checkpoint) -> Settings:
    """What `theirs` was trained with otherwise than `first`, their seeds aside: `train.focal_gamma` -> 1.0."""
    one, other = _settings(theirs), _settings(first)
    return {key: value for key, value in one.items() if key not in other or other[key] != value}


def alike(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether they were trained the same way, but for what they see of the future."""
    return otherwise(one, other).keys() <= {"model.direction", "model.lookahead"}


def _settings(checkpoint: Checkpoint) -> Settings:
    said = checkpoint.provenance
    tables = {
        "model": asdict(checkpoint.model.config),
        "train": said.get("training"),
        "augment": said.get("augment"),
        "compose": said.get("compose"),
    }
    return {key: value for key, value in _flat(tables) if not key.endswith(".seed")}


def _flat(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value

"""The options that name a text encoder to train with, or several to score with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cberl.encoders.bundle import TEXT_ENCODER

Command = TypeVar("Command", bound=Callable[..., Any])
_SHOWN: dict[str, Any] = {"type": click.Path(path_type=Path), "show_default": "the bundled one"}

trained_with = click.option(
    "--text-encoder",
    default=TEXT_ENCODER,
    help="Folder of the text encoder, as `cberl finetune-text` writes it.",
    **_SHOWN,
)


def scored_with(command: Command) -> Command:
    """Adds the parameter `text_encoders`, which always includes the bundled one."""
    return click.option(
        "--text-encoder",
        "text_encoders",
        multiple=True,
        callback=lambda _, __, given: (*given, TEXT_ENCODER),
        help="Folder of a text encoder that checkpoints were trained with; may be repeated.",
        **_SHOWN,
    )(command)

"""The option that names text encoders, for the verbs that train with one or score with the right one of several."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cberl.training.features.corpus import TEXT_ENCODER

Command = TypeVar("Command", bound=Callable[..., Any])
_SHOWN: dict[str, Any] = {"type": click.Path(path_type=Path), "show_default": "the one that comes along"}

trained_with = click.option(
    "--text-encoder",
    default=TEXT_ENCODER,
    help="Folder of the text encoder, as `cberl finetune-text` writes it.",
    **_SHOWN,
)


def scored_with(command: Command) -> Command:
    """Gives the verb `text_encoders`; the one that comes along is always among them."""
    return click.option(
        "--text-encoder",
        "text_encoders",
        multiple=True,
        callback=lambda _, __, given: (*given, TEXT_ENCODER),
        help="Folder of a text encoder that checkpoints were trained with; may be repeated: each finds its own.",
        **_SHOWN,
    )(command)

"""`--output` and `--format`: where the results of a command go, and as what."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cberl.storage import replacing
from engine.export.conversation import ExportedConversation
from engine.export.formats import FORMATS, ExportError, Format, format_of

Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(command: Command) -> Command:
    """Adds both; the command gets `outputs` and `form`."""
    command = click.option(
        "--format", "form", type=click.Choice(list(FORMATS)), help="Its format; without it, the suffix says which."
    )(command)
    return click.option(
        "-o", "--output", "outputs", type=click.Path(path_type=Path), metavar="PATH", multiple=True,
        help="Write the results to this file, or into this folder, one file per conversation; may be repeated.",
    )(command)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """`path` is None for stdout."""

    format: Format
    path: Path | None
    folder: bool

    def write(self, conversations: Sequence[ExportedConversation]) -> list[Path]:
        """The files that were written. Raises ExportError."""
        if self.path is None:
            click.echo(self.format.write(conversations), nl=False)
            return []
        if not self.folder:
            return [self._write(self.path, conversations)]
        return [self._write(self.path / f"{it.name}{self.format.suffixes[0]}", [it]) for it in conversations]

    def _write(self, path: Path, conversations: Sequence[ExportedConversation]) -> Path:
        try:
            with replacing(path) as unfinished:
                unfinished.write_text(self.format.write(conversations), encoding="utf-8", newline="")
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        return path


def parse_outputs(paths: Sequence[Path], form: str | None, *, several: bool) -> list[Output]:
    """Empty where neither is given. Raises ExportError, before there is anything to write."""
    if not paths:
        return [_parse(None, form, several=several)] if form else []
    return [_parse(path, form, several=several) for path in paths]


def _parse(path: Path | None, form: str | None, *, several: bool) -> Output:
    folder = path is not None and (path.is_dir() or str(path).endswith(os.sep) or (several and not path.suffix))
    if form is None and folder:
        raise ExportError(f"{path} is a folder: say with --format which files to write there")
    chosen = FORMATS[form] if form else format_of(path or Path())
    if several and not folder and not chosen.several:
        raise ExportError(
            f"a file in format {chosen.name} holds one conversation: for several, name a folder, such as --output all/"
        )
    if path is not None and not folder and path.parent.is_file():
        raise ExportError(f"{path.parent} is a file: name another --output")
    return Output(chosen, path, folder)

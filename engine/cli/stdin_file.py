"""Standard input as a file: many formats can only be read by going back and forth in them."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

STDIN = "-"


@contextmanager
def stdin_as_file(arguments: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """The arguments, with a file in place of `-`, and that file. Only this user can read it; it is deleted at the end.

    Raises click.UsageError where nothing is piped into the command.
    """
    if STDIN not in arguments:
        yield list(arguments), ""
        return
    if sys.stdin.isatty():
        raise click.UsageError("- reads a recording from standard input: pipe one into the command")
    with tempfile.TemporaryDirectory(prefix="cberl-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield [str(path) if it == STDIN else it for it in dict.fromkeys(arguments)], str(path)

"""`cberl models`"""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.speech.whisper_store import BUNDLED, SIZES, bundled, cached, pull, verify_bundled


@click.group("models")
def command() -> None:
    """Whisper models for speech to text: which are here, and how to get others.

    The engine takes a suitable one by itself; `--whisper-model` of serve, run and demo names one.
    """


@command.command(
    "list",
    epilog="""\b
Examples:
  cberl models list
  cberl models list --json""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def list_models(as_json: bool) -> None:
    """All sizes, and which of them need no download."""
    rows = [(name, megabytes, _here(name)) for name, (_, megabytes) in SIZES.items()]
    if as_json:
        models = [{"name": name, "mb": mb, "folder": str(folder) if folder else None} for name, mb, folder in rows]
        click.echo(json.dumps({"models": models}))
        return
    table = Table("name", "MB", "languages", "here")
    for name, megabytes, folder in rows:
        here = "-" if folder is None else "bundled" if folder == bundled() else "cached"
        table.add_row(name, str(megabytes), "English" if name.endswith(".en") else "99", here)
    Console().print(table)


@command.command(
    "pull",
    epilog="""\b
Examples:
  cberl models pull base.en
  cberl models pull Systran/faster-distil-whisper-small.en""",
)
@click.argument("name")
@click.option("--hub-timeout-s", type=click.FloatRange(min=0), default=3.0, help="Longest wait for the hub to answer.")
def pull_model(name: str, hub_timeout_s: float) -> None:
    """Download a size or hub id to the local cache, with progress bars; prints its folder."""
    click.echo(pull(name, hub_timeout_s))


@command.command(
    "path",
    epilog="""\b
Examples:
  cberl models path                the bundled one
  cberl models path small""",
)
@click.argument("name", default=BUNDLED)
def model_path(name: str) -> None:
    """Folder of a model that needs no download, by default of the bundled one. Exits 1 where there is none."""
    folder = _here(name)
    if folder is None:
        raise click.ClickException(f"The Whisper model {name} is not on this machine: cberl models pull {name}")
    if folder == bundled():
        verify_bundled(folder)
    click.echo(folder)


def _here(name: str) -> Path | None:
    return (bundled() if name == BUNDLED else None) or cached(name)

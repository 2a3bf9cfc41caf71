"""`cberl export`"""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.cli.export_sources import Source, open_source
from engine.cli.logs import say
from engine.cli.outputs import Output, output_options, parse_outputs
from engine.export.conversation import ExportedConversation, exported_conversation
from engine.export.formats import FORMATS, ExportError


@click.command(
    "export",
    epilog="""\b
Examples:
  cberl export events.db --list                         which conversations there are
  cberl export events.db lobby --output lobby.html      a report; also .csv .vtt .srt .TextGrid .eaf .jsonl
  cberl export events.db --output all.csv               all of them
  cberl export events.db --output captions/ --format vtt
  cberl export http://127.0.0.1:8765 lobby > lobby.jsonl     of an engine that is running
  cberl export events.jsonl --output talk.eaf           what `cberl run --json` has printed""",
)
@click.argument("source")
@click.argument("conversations", nargs=-1, metavar="[CONVERSATION]...")
@click.option("--list", "listing", is_flag=True, help="List the conversations instead.")
@output_options
@click.option("--token", envvar="CBERL_TOKEN", help="Token of a running engine, with --history.")
def command(
    source: str, conversations: tuple[str, ...], listing: bool, outputs: tuple[Path, ...], form: str | None,
    token: str | None,
) -> None:  # fmt: skip
    """Logged conversations as files for other programs.

    SOURCE is the event log of an engine that is not running, the address of one that is, or a file of JSON Lines.
    Without a CONVERSATION, all are exported. Without --output, they go to stdout, as JSON Lines unless --format says
    otherwise. Words are there only where they were kept (--keep-text).
    """
    with open_source(source, token or "") as opened:
        names = opened.names()
        if listing:
            _list(names)
            return
        wanted = _wanted(source, list(names), conversations)
        json_lines = Output(FORMATS["jsonl"], None, folder=False)
        targets = parse_outputs(outputs, form, several=len(wanted) > 1) or [json_lines]
        exported = [_exported(opened, name) for name in wanted]
    for target in targets:
        for path in target.write(exported):
            say(f"written: {path}")


def _wanted(source: str, known: list[str], asked: tuple[str, ...]) -> list[str]:
    if missing := [name for name in asked if name not in known]:
        raise ExportError(f"{source} has no conversation {missing[0]}: --list shows all")
    if not known:
        raise ExportError(f"{source} has no conversations")
    return list(dict.fromkeys(asked)) or known


def _exported(source: Source, name: str) -> ExportedConversation:
    return exported_conversation(name, source.messages(name))


def _list(names: dict[str, str]) -> None:
    table = Table("conversation", "last event", box=None)
    for name, last in names.items():
        table.add_row(name, last)
    Console(highlight=False, markup=False).print(table)

"""`cberl export`"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.cli.export_sources import Source, open_source
from engine.cli.logs import say
from engine.cli.outputs import Output, output_options, parse_outputs
from engine.export.conversation import ExportedConversation, exported_sessions
from engine.export.formats import FORMATS, ExportError
from engine.export.html_timeline import clock


@click.command(
    "export",
    epilog="""\b
Examples:
  cberl export events.db --list                         which conversations there are
  cberl export events.db lobby --output lobby.html      a report; also .csv .vtt .srt .TextGrid .eaf .jsonl
  cberl export events.db --output all.csv               all of them
  cberl export events.db --output captions/ --format vtt
  cberl export events.db lobby --list                   each time that it ran
  cberl export events.db lobby --session 2 -o lobby.srt
  cberl export http://127.0.0.1:8765 lobby > lobby.jsonl     of an engine that is running
  cberl export events.jsonl --output talk.eaf           what `cberl run --json` has printed""",
)
@click.argument("source")
@click.argument("conversations", nargs=-1, metavar="[CONVERSATION]...")
@click.option("--list", "listing", is_flag=True, help="List the conversations instead, or the sessions of those named.")
@click.option(
    "--session",
    "number",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Which time that the conversation ran, from 1.  [default: the latest]",
)
@click.option("--all-sessions", "every", is_flag=True, help="Each time that it ran, as a conversation of its own.")
@output_options
@click.option("--token", envvar="CBERL_TOKEN", help="Token of a running engine, with --history.")
def command(
    source: str, conversations: tuple[str, ...], listing: bool, number: int | None, every: bool,
    outputs: tuple[Path, ...], form: str | None, token: str | None,
) -> None:  # fmt: skip
    """Logged conversations as files for other programs.

    SOURCE is the event log of an engine that is not running, the address of one that is, or a file of JSON Lines.
    Without a CONVERSATION, all are exported. Without --output, they go to stdout, as JSON Lines unless --format says
    otherwise. Words are there only where they were kept (--keep-text). Of a conversation that ran several times, also
    of one that went on after a restart of the engine, the latest session is exported.
    """
    if number and every:
        raise click.UsageError("--session and --all-sessions exclude each other")
    with open_source(source, token or "") as opened:
        names = opened.names()
        if listing and not conversations:
            _list(names)
            return
        wanted = _wanted(source, list(names), conversations)
        if listing:
            _list_sessions(opened, wanted)
            return
        exported = [it for name in wanted for it in _exported(opened, name, number, every=every)]
        json_lines = Output(FORMATS["jsonl"], None, folder=False)
        targets = parse_outputs(outputs, form, several=len(exported) > 1) or [json_lines]
    for target in targets:
        for path in target.write(exported):
            say(f"written: {path}")


def _wanted(source: str, known: list[str], asked: tuple[str, ...]) -> list[str]:
    if missing := [name for name in asked if name not in known]:
        raise ExportError(f"{source} has no conversation {missing[0]}: --list shows all")
    if not known:
        raise ExportError(f"{source} has no conversations")
    return list(dict.fromkeys(asked)) or known


def _exported(source: Source, name: str, number: int | None, *, every: bool) -> Sequence[ExportedConversation]:
    """Raises ExportError where there is no session with this number."""
    sessions = exported_sessions(name, source.messages(name)) or [ExportedConversation(name, ())]
    if len(sessions) > 1 and every:
        return [replace(it, name=f"{name} session {it.session}") for it in sessions]
    if number:
        found = sessions[number - 1 : number]
        if not found:
            raise ExportError(f"{name} has no session {number}, but {len(sessions)}: `--list {name}` shows them")
        return found
    if len(sessions) > 1:
        say(
            f"{name} ran {len(sessions)} times: this is the latest; --session NUMBER is another one, --all-sessions all"
        )
    return sessions[-1:]


def _list(names: dict[str, str]) -> None:
    table = Table("conversation", "last event", box=None)
    for name, last in names.items():
        table.add_row(name, last)
    Console(highlight=False, markup=False).print(table)


def _list_sessions(source: Source, names: Sequence[str]) -> None:
    table = Table("conversation", "session", "started", "length", "turns", box=None)
    for name in names:
        started = source.started(name)
        for it in exported_sessions(name, source.messages(name)):
            when = started.get(it.started_seq or 0, "")
            table.add_row(name, str(it.session), when, clock(it.end_s), str(len(it.turns)))
    Console(highlight=False, markup=False).print(table)

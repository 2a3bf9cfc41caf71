"""`cberl replay`"""

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from engine.cli.common import KEEPING, LISTENING, settings_from, settings_options
from engine.cli.setting_groups import SettingsCommand
from engine.cli.table import TurnTable
from engine.config import Settings
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.replay.compare import ROUNDING, finals, first_difference
from engine.replay.play import replay
from engine.replay.recorded import RecordedConversation, find_recordings, read_recording


@click.command(
    "replay",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl replay recordings > events.jsonl       all events, the same to the byte every time
  cberl replay recordings --compare events.jsonl
  cberl replay recordings --end-silence-ms 300           what would another setting have given?
  cberl replay recordings --finals --compare live.jsonl  against events that were received live
RECORDINGS is the folder of `cberl serve --record recordings`.""",
)
@click.argument("recordings", type=click.Path(exists=True, path_type=Path))
@click.option("--finals", "finals_only", is_flag=True, help="Final events only, without numbers, ids and timings.")
@click.option(
    "--compare", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="EVENTS.JSONL",
    help="Print nothing but the first difference to these events, and exit with 1 if there is one.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, also on a terminal (the default in a pipe).")
@settings_options(without=LISTENING + KEEPING)
def command(recordings: Path, finals_only: bool, compare: Path | None, as_json: bool, **flags: Any) -> None:
    """Run recorded conversations again, as fast as possible, with the same events every time.

    RECORDINGS is a file, or a folder of `cberl serve --record`. Time is virtual: models and the network take none of
    it, so that `timings_ms` are those of an infinitely fast machine. Settings are the recorded ones, unless flags say
    otherwise.
    """
    found = [read_recording(path) for path in find_recordings(recordings)]
    for it in found:
        _warn(it)
    wanted = compare.read_text(encoding="utf-8").splitlines() if compare else []
    lines: list[str] = []
    show = lines.append if finals_only or compare else _show(as_json or not sys.stdout.isatty())
    began = time.monotonic()
    for settings, some in itertools.groupby(found, key=lambda it: _settings(dict(flags), it)):
        replay(list(some), settings, show)
    seconds = sum(it.duration_s for it in found)
    click.echo(f"{seconds:.0f} s of conversation took {time.monotonic() - began:.1f} s with loading", err=True)
    if finals_only:
        lines = finals(lines)
    if compare is None:
        for line in lines:
            click.echo(line)
        return
    wanted = finals(wanted) if finals_only else wanted
    if difference := first_difference(wanted, lines, ROUNDING if finals_only else 0.0):
        raise click.ClickException(f"{compare}: {difference}")
    click.echo(f"{len(lines)} events are the same", err=True)


def _settings(flags: dict[str, Any], recorded: RecordedConversation) -> Settings:
    for name, value in recorded.settings.items():
        if name in flags and flags[name] is None:
            flags[name] = value
    return settings_from(flags)


def _warn(recorded: RecordedConversation) -> None:
    if not recorded.complete:
        click.echo(f"{recorded.path.name} was cut off; it is replayed up to there", err=True)
    if left_out := sum(it.left_out for it in recorded.sources):
        tracks = "track was" if left_out == 1 else "tracks were"
        click.echo(f"{recorded.path.name}: {left_out} {tracks} not recorded, as their publishers asked for", err=True)


def _show(as_json: bool) -> Callable[[str], None]:
    if as_json:
        return click.echo
    table = TurnTable(Console())

    def show(text: str) -> None:
        _, message = decode(text)
        if isinstance(message, EmotionEvent) and message.status != "interim":
            table.add(message)

    return show

"""`cberl run`"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cberl.data.media import MediaError
from engine.cli.common import run_async, settings_from, settings_options
from engine.cli.logs import say
from engine.cli.outputs import Output, output_options, parse_outputs
from engine.cli.progress import run_progress
from engine.cli.run_media import Options, Run, open_run
from engine.cli.setting_groups import SettingsCommand, settings_of
from engine.cli.stdin_file import stdin_as_file
from engine.config import Settings
from engine.errors import EngineError
from engine.ingest.live import is_live
from engine.ingest.media_files import MediaFile, check_media
from engine.names import name_problem
from engine.runtime.hangs import Hangs

USED = settings_of("Speech and models", "Turns", "Speakers", "Event log", "Log lines")
# Of a configuration file that is meant for `serve`. The event log, too, is used only where the flag asks for it: the
# engine that runs with the same file has it open.
NOT_USED = {"mqtt": "", "webhook": "", "record": "", "conversation_store": ""}


@click.command(
    "run",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl run interview.wav
  cberl run call.flac --speakers alice,bob     two channels, two people
  cberl run calls/ 'more/*.mp3'                folders and patterns
  cberl run talk.mp4 --output talk.html        a report; also .csv .vtt .srt .TextGrid .eaf .jsonl
  cberl run calls/ --output results/ --format eaf
  cberl run talk.mp4 --why                     below each turn, the earlier turns that moved its emotion
  cberl run talk.mp4 --json | jq .emotion      one JSON event per line
  ffmpeg -i … -f wav - | cberl run -           standard input, which is read to its end first
  cberl run talk.wav --event-log events.db     for the dashboard of `cberl serve --event-log events.db`
  cberl run talk.wav --realtime                in real time
  cberl run rtsp://camera.local/stream         until Ctrl-C; reconnects when it breaks
  cberl run https://example.org/live.m3u8      until the playlist ends
  cberl run mic                                this machine's microphone""",
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, also on a terminal (the default in a pipe).")
@output_options
@click.option("--realtime", is_flag=True, help="Play in real time instead of as fast as possible.")
@click.option("--speakers", metavar="A,B", help="Names of the channels' speakers.")
@click.option("--why", is_flag=True, help="The same as --because: which earlier turns and modalities moved each turn.")
@click.option("-q", "--quiet", is_flag=True, help="Neither progress nor summary.")
@settings_options(without=tuple(name for name in Settings.model_fields if name not in USED))
def command(
    inputs: tuple[str, ...], as_json: bool, outputs: tuple[Path, ...], form: str | None, realtime: bool,
    speakers: str | None, why: bool, quiet: bool, **flags: Any,
) -> None:  # fmt: skip
    """Emotions of recordings, a stream or the microphone, turn by turn.

    INPUT is a file, a folder, a pattern, an address that FFmpeg reads, - for standard input, or mic. Two channels are
    two speakers. All inputs are checked first; one that cannot be read is reported, and the others are processed.
    """
    kept = {"event_log": flags["event_log"] or ""}
    settings = settings_from(flags | ({"because": True} if why else {})).model_copy(update=NOT_USED | kept)
    names = _speakers(speakers) if speakers else None
    with stdin_as_file(inputs) as (arguments, temporary):
        files, problems = _checked(arguments)
        targets = parse_outputs(outputs, form, several=len(files) > 1)
        options = Options(realtime, names, quiet, _shown(as_json, targets))
        run = Run(files, options, temporary)
        try:
            run_async(_run(run, settings))
        finally:  # also of what was interrupted
            _write(targets, run, quiet=quiet)
    _fail(files, [*problems, *run.problems])


def _shown(as_json: bool, outputs: Sequence[Output]) -> str:
    """What stdout gets while the command runs: json, table or nothing."""
    if any(output.path is None for output in outputs):
        return "nothing"
    if as_json or not (sys.stdout.isatty() or outputs):
        return "json"
    return "table" if sys.stdout.isatty() else "nothing"


def _speakers(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if problem := name_problem("a speaker's name", name):
            raise click.BadParameter(problem, param_hint="--speakers")
    return names


def _checked(arguments: Sequence[str]) -> tuple[list[MediaFile], list[MediaError]]:
    """Before models are loaded. Raises MediaError where nothing can be read."""
    if live := [it for it in arguments if is_live(it)]:
        if len(arguments) > 1:
            raise click.UsageError(f"{live[0]} is read until it ends: give no other INPUT beside it")
        return [MediaFile(live[0])], []
    files, problems = check_media(arguments)
    if not files:
        raise MediaError("\n".join(map(str, problems)))
    for problem in problems:
        say(f"left out: {problem}", logging.WARNING)
    return files, problems


async def _run(run: Run, settings: Settings) -> None:
    with run_progress(run.files, shown=not run.options.quiet) as progress:
        async with open_run(run, settings, progress) as (supervisor, process):
            watching = asyncio.create_task(_fail_on_hang(supervisor.models.hangs), name="watch models")
            processing = asyncio.create_task(process(), name="process recordings")
            try:
                await asyncio.wait([watching, processing], return_when=asyncio.FIRST_COMPLETED)
                (watching if watching.done() else processing).result()
            finally:
                for task in (watching, processing):
                    task.cancel()
                await asyncio.wait([watching, processing])


async def _fail_on_hang(hangs: Hangs) -> None:
    await hangs.restart_needed.wait()
    raise EngineError("a model does not answer: start again, with a larger --model-timeout-s on a slow machine")


def _write(outputs: Sequence[Output], run: Run, *, quiet: bool) -> None:
    for output in outputs if run.results else ():
        for path in output.write(run.results):
            if not quiet:
                say(f"written: {path}")


def _fail(files: Sequence[MediaFile], problems: Sequence[Exception]) -> None:
    """Raises where something could not be read, or not to its end."""
    if len(files) == len(problems) == 1:
        raise problems[0]
    if problems:
        heading = f"{len(problems)} of the inputs could not be read completely:"
        raise MediaError("\n".join([heading, *map(str, problems)]))

"""`cberl run`"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cberl.data.media import require_audio
from engine.cli.common import KEEPING, LISTENING, run_async, settings_from, settings_options
from engine.cli.table import TurnTable
from engine.config import Settings
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.errors import EngineError
from engine.events import EmotionEvent
from engine.ingest.file import FileSource
from engine.ingest.live import LiveSource, is_live
from engine.names import name_problem
from engine.runtime.hangs import Hangs
from engine.server.supervisor import open_supervisor

Show = Callable[[str, EmotionEvent], None]


@click.command(
    "run",
    epilog="""\b
Examples:
  cberl run interview.wav
  cberl run call.flac --speakers alice,bob     two channels, two people
  cberl run talk.mp4 --json | jq .emotion      one JSON event per line
  cberl run talk.wav --realtime                in real time
  cberl run rtsp://camera.local/stream         until Ctrl-C; reconnects when it breaks
  cberl run https://example.org/live.m3u8      until the playlist ends
  cberl run mic                                this machine's microphone""",
)
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, also on a terminal (the default in a pipe).")
@click.option("--realtime", is_flag=True, help="Play in real time instead of as fast as possible.")
@click.option("--speakers", metavar="A,B", help="Names of the channels' speakers.")
@settings_options(without=LISTENING + KEEPING)
def command(file: str, as_json: bool, realtime: bool, speakers: str | None, **flags: Any) -> None:
    """Emotions of a recording, a stream or the microphone, turn by turn.

    FILE is a path or an address that FFmpeg reads, or mic. Two channels are two speakers.
    """
    settings = settings_from(flags)
    names = _speakers(speakers) if speakers else None
    if os.path.exists(file) or not (is_live(file) or "://" in file):
        require_audio(file)  # before the models are loaded
    show = _show_json if as_json or not sys.stdout.isatty() else _show_table()
    run_async(_run(file, realtime, names, settings, show))


def _speakers(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if problem := name_problem("a speaker's name", name):
            raise click.BadParameter(problem, param_hint="--speakers")
    return names


def _conversation(file: str) -> str:
    """The file's name, without characters that a conversation's name must not have."""
    name = "".join("-" if name_problem("", f"x{char}x") else char for char in Path(file).stem)[:64].strip()
    return name or "run"


async def _run(file: str, realtime: bool, speakers: list[str] | None, settings: Settings, show: Show) -> None:
    conversation = _conversation(file)
    async with open_supervisor(settings) as supervisor:
        if supervisor.models.asr_note:
            click.echo(supervisor.models.asr_note, err=True)
        subscription = supervisor.hub.subscribe(conversation)
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(_show_events(subscription, show))
            watching = tasks.create_task(_fail_on_hang(supervisor.models.hangs))
            looks = supervisor.models.looks
            recording = None if is_live(file) else FileSource(file, realtime=realtime, speakers=speakers, look=looks)
            source = recording or LiveSource(file, speakers)
            try:
                await supervisor.join(conversation, source, live=False)
            finally:
                subscription.end("done")
                watching.cancel()
    if not showing.result():
        click.echo(f"No speech was detected in {file}.", err=True)
    if recording:
        recording.raise_error()


async def _fail_on_hang(hangs: Hangs) -> None:
    await hangs.restart_needed.wait()
    raise EngineError("a model does not answer: start again, with a larger --model-timeout-s on a slow machine")


async def _show_events(subscription: Subscription, show: Show) -> int:
    """Returns how many there were."""
    shown = 0
    async for _, text in subscription:
        _, message = decode(text)
        if isinstance(message, EmotionEvent):
            show(text, message)
            shown += 1
    return shown


def _show_json(text: str, event: EmotionEvent) -> None:
    click.echo(text)


def _show_table() -> Show:
    table = TurnTable(Console())
    return lambda text, event: table.add(event)

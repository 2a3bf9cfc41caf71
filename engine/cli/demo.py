"""`cberl demo`"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import engine.demo
from engine.access.setup import temporary_access
from engine.cli.common import KEEPING, LISTENING, run_async, settings_from, settings_options
from engine.cli.setting_groups import SettingsCommand
from engine.cli.table import TurnTable
from engine.config import Settings
from engine.demo.play import DemoError, as_live, play
from engine.demo.score import Summary, read_script, summarize
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.supervisor import Supervisor, open_supervisor

FOLDER = Path(engine.demo.__file__).parent


@click.command(
    "demo",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl demo
  cberl demo --port 8765          then watch the page while it plays""",
)
@settings_options(without=tuple(name for name in LISTENING + KEEPING if name != "port"))
def command(**flags: Any) -> None:
    """Play a spoken conversation of two people into a running engine in real time, as a call sends it, and watch.

    The page shows which earlier turns moved each turn, the table with --because. Ends with a summary; the last line on
    stdout is the same as one JSON object.
    """
    flags["port"] = 0 if flags["port"] is None else flags["port"]
    settings = settings_from(flags)
    run_async(_demo(settings.model_copy(update={"because": True}), why=settings.because))


async def _demo(settings: Settings, *, why: bool) -> None:
    console = Console()
    console.print("loading models ...")
    async with open_supervisor(settings) as supervisor:
        if supervisor.models.asr_note:
            console.print(supervisor.models.asr_note)
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        access, token = temporary_access()
        app = create_app(supervisor, settings, access=access)
        async with asyncio.TaskGroup() as tasks:
            server = tasks.create_task(serve(app, settings, url.set_result, until_signal=False))
            summary = await _play(await url, token, supervisor, console, why=why)
            server.cancel()
    _report(summary, console)


async def _play(url: str, token: str, supervisor: Supervisor, console: Console, *, why: bool) -> Summary:
    script = read_script(FOLDER / "conversation.json")
    console.print("Emotion recognition is running. Watch it at")
    console.print(f"{url}/?conversation=demo#token={token}\n", soft_wrap=True, highlight=False)
    table = TurnTable(console)

    def show(event: EmotionEvent) -> None:
        table.add(event if why else replace(event, because=(), modality_weights={}))

    speakers = list(script.speakers)
    source = as_live(read_media(str(FOLDER / "conversation.flac"), speakers=speakers))
    ingest = url.replace("http", "ws", 1) + "/ingest?conversation=demo"
    finals = await play(ingest, source, speakers, show, console.print, token)
    if not finals:
        raise DemoError("no turn was recognised: the settings are too strict for this conversation")
    return summarize(script, finals, supervisor.models.asr)


def _report(summary: Summary, console: Console) -> None:
    latency, work = summary.after_speech_ms, summary.after_silence_ms
    console.print(f"\n{summary.turns} turns, transcribed by {summary.asr}")
    console.print(f"word error rate against the script:    {100 * summary.wer:.1f} %")
    console.print(f"emotions as the script meant them:     {100 * summary.agreement:.0f} %")
    console.print(f"end of speech to event:                p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms")
    console.print(f"  of this after the end of the turn:   p50 {work['p50']:.0f} ms, p95 {work['p95']:.0f} ms\n")
    click.echo(summary.as_json())

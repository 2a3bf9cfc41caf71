"""Runs media through the engine, one file after the other, and shows and collects what comes out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cberl.data.media import MediaError
from engine.cli.logs import logs_json, say
from engine.cli.progress import RunProgress
from engine.cli.summary import show_summary, summary_line
from engine.cli.table import TurnTable
from engine.config import Settings
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, exported_conversation
from engine.export.summary import summarize
from engine.ingest.file import FileSource
from engine.ingest.live import LiveSource, is_live
from engine.ingest.media_files import MediaFile
from engine.media import ChunkSource
from engine.names import name_problem
from engine.server.sinks import EventSinks, open_event_sinks
from engine.server.supervisor import Supervisor, open_supervisor

Show = Callable[[str, EmotionEvent], None]


@dataclass(frozen=True, slots=True)
class Options:
    """`shown` on stdout: json, table or nothing."""

    realtime: bool
    speakers: list[str] | None
    quiet: bool
    shown: str


@dataclass(slots=True)
class Run:
    """What is processed, and what has come out so far."""

    files: list[MediaFile]
    options: Options
    temporary: str = ""  # a file that is gone afterwards
    results: list[ExportedConversation] = field(default_factory=list)
    problems: list[MediaError] = field(default_factory=list)


@asynccontextmanager
async def open_run(
    run: Run, settings: Settings, progress: RunProgress
) -> AsyncIterator[tuple[Supervisor, Callable[[], Coroutine[Any, Any, None]]]]:
    """Loads the models. Yields the supervisor, and the function that processes all files."""
    async with AsyncExitStack() as stack:
        sinks = await stack.enter_async_context(open_event_sinks(settings)) if settings.event_log else None
        supervisor = await stack.enter_async_context(open_supervisor(settings, sinks.hub if sinks else None))
        if supervisor.models.asr_note:
            say(supervisor.models.asr_note)
        if note := _note_of_voices(run, supervisor, settings):
            say(note)
        processor = _Processor(run, supervisor, sinks, progress)
        yield supervisor, processor.process


class _Processor:
    def __init__(self, run: Run, supervisor: Supervisor, sinks: EventSinks | None, progress: RunProgress) -> None:
        self._run = run
        self._supervisor = supervisor
        self._sinks = sinks
        self._progress = progress
        self._names: set[str] = set()
        self._show = _show(run.options.shown, progress.console)

    async def process(self) -> None:
        """All files. What is wrong with one is noted and reported."""
        for file in self._run.files:
            name = await self._free_name(file.path)
            try:
                await self._process(file, name)
            except MediaError as error:
                self._run.problems.append(error)
            self._progress.finish(file)

    async def _process(self, file: MediaFile, name: str) -> None:
        options = self._run.options
        looks = self._supervisor.models.looks
        recording = None
        if not is_live(file.path):
            recording = FileSource(file.path, realtime=options.realtime, speakers=options.speakers, look=looks)
        source = recording or LiveSource(file.path, options.speakers)
        began, messages = time.monotonic(), list[str]()
        try:
            await self._join(file, name, source, recording, messages)
        except* MediaError as errors:
            raise errors.exceptions[0] from None
        finally:
            self._collect(file, name, messages)
        self._summarize(name, recording.position_s if recording else 0.0, time.monotonic() - began)
        if not messages:
            say(f"No speech was detected in {file.path}.")
        if recording:
            recording.raise_error()

    async def _join(
        self, file: MediaFile, name: str, source: ChunkSource, recording: FileSource | None, messages: list[str]
    ) -> None:
        """Adds the events to `messages` as they come."""
        hub = self._supervisor.hub
        subscription = hub.subscribe(name, with_snapshot=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show_events(subscription, messages), name="show events")
            following = tasks.create_task(self._follow(recording, file), name="progress")
            try:
                await self._supervisor.join(name, source, live=False)
                await hub.flush()
            finally:
                subscription.end("done")
                following.cancel()

    async def _follow(self, recording: FileSource | None, file: MediaFile) -> None:
        if recording:
            await self._progress.follow(recording, file)

    async def _show_events(self, subscription: Subscription, messages: list[str]) -> None:
        async for _, text in subscription:
            _, message = decode(text)
            if isinstance(message, EmotionEvent):
                messages.append(text)
                self._show(text, message)

    def _collect(self, file: MediaFile, name: str, messages: Iterable[str]) -> None:
        """Also what there is when the command is interrupted."""
        keeps = not (is_live(file.path) or file.path == self._run.temporary)
        conversation = exported_conversation(name, messages, file.path if keeps else "")
        conversation = replace(conversation, change=self._supervisor.hub.change)
        if conversation.turns:
            self._run.results.append(conversation)

    def _summarize(self, name: str, position_s: float, took_s: float) -> None:
        conversation = next((it for it in self._run.results if it.name == name), None)
        if conversation is None or self._run.options.quiet:
            return
        summary = summarize(conversation.events, conversation.change)
        duration_s = max(position_s, conversation.end_s)
        if logs_json():  # log lines are without emotions
            say(f"{name}: {summary_line(summary, duration_s, took_s)}")
        else:
            console = self._progress.console or Console(stderr=True)
            show_summary(console, name, summary, duration_s, took_s)

    async def _free_name(self, path: str) -> str:
        """Of the conversation. In an event log, another recording may have the same."""
        wanted, number = _conversation(path), 1
        name = wanted
        while name in self._names or await self._is_logged(name):
            number += 1
            name = f"{wanted[:58]}-{number}"
        self._names.add(name)
        return name

    async def _is_logged(self, name: str) -> bool:
        writer = self._sinks.event_writer if self._sinks else None
        return writer is not None and bool(await writer.query(writer.log.events, name, 0, 1))


def _conversation(path: str) -> str:
    """The file's name, without characters that a conversation's name must not have."""
    name = "".join("-" if name_problem("", f"x{char}x") else char for char in Path(path).stem)[:64].strip()
    return name or "run"


def _note_of_voices(run: Run, supervisor: Supervisor, settings: Settings) -> str:
    """Where several people may speak on one track: what is done about that, and what can be."""
    mixed = [file.path for file in run.files if file.mixes_voices]
    if not mixed or run.options.speakers:
        return ""
    what = f"{mixed[0]} has" if len(mixed) == 1 else f"{len(mixed)} recordings have"
    if supervisor.models.embed_speaker:
        return f"{what} all voices on one track: speakers are distinguished by voice; --diarize off if only one speaks."
    if settings.diarize == "off":
        return f"{what} all voices on one track, which counts as one speaker: leave out --diarize off if several speak."
    return (
        f"{what} all voices on one track, which counts as one speaker. To distinguish several: "
        "pip install 'cberl-engine[diarize]' && pip install --no-deps resemblyzer"
    )


def _show(shown: str, console: Console | None) -> Show:
    if shown == "json":
        return lambda text, event: click.echo(text)
    if shown == "nothing":
        return lambda text, event: None
    table = TurnTable(console or Console())
    conversations: list[str] = []

    def show(text: str, event: EmotionEvent) -> None:
        if event.conversation not in conversations:
            if conversations:
                table.heading(event.conversation)
            conversations.append(event.conversation)
        table.add(event)

    return show

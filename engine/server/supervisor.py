"""All conversations of this process: opens, shares, keeps and ends them. One's failure never reaches another."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.config import Settings
from engine.conversation.models import Models, open_models
from engine.conversation.session import Session, SessionFailedError
from engine.delivery.hub import Hub
from engine.events import Disclosure, SpeakerJoined, SpeakerLeft
from engine.ingest.protocol import RefusedError
from engine.media import AudioChunk, ChunkSource
from engine.mqtt.control import Command, CommandError
from engine.names import name_problem
from engine.runtime.load_shedding import LoadShedder

Publish = Callable[[ChunkSource], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Conversation:
    session: Session
    speakers: list[str] = field(default_factory=list)  # whose names are taken
    publishers: int = 0
    stopped: bool = False  # by a command, so that its end is no failure
    expiry: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Seat:
    speakers: list[str] = field(default_factory=list)  # who speaks from it
    heard: list[str] = field(default_factory=list)  # those of them that were announced


class Supervisor:
    """Use inside `open_supervisor`."""

    def __init__(self, models: Models, settings: Settings, tasks: asyncio.TaskGroup, hub: Hub) -> None:
        self.hub = hub
        self.models = models
        self._settings = settings
        self._tasks = tasks
        self._load = LoadShedder()
        self._conversations: dict[str, _Conversation] = {}
        self._ending = False

    @property
    def ready(self) -> bool:
        """Models are loaded and warm before there is a supervisor; so only an ending one is not ready."""
        return not self._ending

    @property
    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        return {
            "model": self.models.checkpoint.name,
            "asr": self.models.asr,
            "conversations": len(self._conversations),
            "max_sessions": self._settings.max_sessions,
        }

    async def join(self, conversation: str, source: ChunkSource, *, live: bool) -> None:
        """A seat for this source alone; see there. Raises `RefusedError`."""
        with self.seat(conversation, live=live) as publish:
            await publish(source)

    @contextmanager
    def seat(self, conversation: str, speaker: str | None = None, *, live: bool = True) -> Iterator[Publish]:
        """One publisher's place; inside, its media runs through the conversation until it ends and its last event is
        in the hub.

        A `speaker` named here is the publisher's from now on, others are with their first sound. After the last
        publisher of a live conversation left, its graph is kept for `rejoin_grace_s`: who comes back goes on where they
        were. Raises `RefusedError`, here and inside: full, speaker_taken, or failed when the conversation broke.
        """
        joined = self._enter(conversation)
        seat = _Seat()
        try:
            if speaker is not None:
                self._claim(conversation, joined, seat, speaker)
            yield partial(self._publish, conversation, joined, seat, live=live)
        finally:
            self._leave(conversation, joined, seat, self._settings.rejoin_grace_s if live else 0.0)

    async def _publish(
        self,
        conversation: str,
        joined: _Conversation,
        seat: _Seat,
        source: ChunkSource,
        *,
        live: bool,
    ) -> None:
        try:
            media = self._announced(conversation, joined, seat, source)
            await joined.session.join(media, live=live, dropped=lambda: source.dropped)
        except SessionFailedError as error:
            if joined.stopped:
                raise RefusedError("stopped", f"{conversation} was stopped; start it again to go on") from error
            raise RefusedError("failed", f"{error}; start it again") from error
        except RefusedError:
            raise
        except Exception as error:
            if not live:  # a file that cannot be read, say: its reader knows what to do
                raise
            log.exception("a publisher in conversation %s failed; others go on", conversation)
            raise RefusedError("failed", f"this audio for {conversation} cannot be worked on; start again") from error

    def end(self, conversation: str) -> None:
        """Ends a conversation now: turns under way still come out."""
        found = self._conversations.pop(conversation, None)
        if found is not None:
            if found.expiry:
                found.expiry.cancel()
            found.session.close()

    def execute(self, command: Command) -> None:
        """Raises CommandError where it cannot be done."""
        for what, name in (
            ("conversation", command.conversation),
            ("speaker", command.speaker),
            ("name", command.name),
        ):
            if (name or what == "conversation") and (problem := name_problem(what, name)):
                raise CommandError(problem)
        match command.command:
            case "start":
                self._start(command.conversation)
            case "stop":
                self._found(command.conversation).stopped = True
                self.end(command.conversation)
            case "rename":
                self._rename(command.conversation, command.speaker, command.name)

    def _start(self, conversation: str) -> None:
        """Open, so that all who listen know; ended again where nobody publishes within the grace."""
        if conversation not in self._conversations:
            try:
                opened = self._open(conversation)
            except RefusedError as error:
                raise CommandError(f"{error}.") from error
            loop = asyncio.get_running_loop()
            opened.expiry = loop.call_later(self._settings.rejoin_grace_s, self.end, conversation)

    def _rename(self, conversation: str, called: str, name: str) -> None:
        found = self._found(conversation)
        names = {found.session.name_of(speaker): speaker for speaker in found.speakers}
        if called not in names:
            raise CommandError(f"Nobody called {called} publishes in {conversation}.")
        if name == called:
            return
        if name in names or name in found.speakers:
            raise CommandError(f"{name} is somebody else in {conversation}: use another name.")
        found.session.rename(names[called], name)
        self.hub.publish(SpeakerLeft(conversation, called))
        self.hub.publish(SpeakerJoined(conversation, name))

    def _found(self, conversation: str) -> _Conversation:
        if conversation not in self._conversations:
            raise CommandError(f"No conversation {conversation} is running.")
        return self._conversations[conversation]

    def end_all(self) -> None:
        """For shutdown: nobody may join from now on."""
        self._ending = True
        for conversation in list(self._conversations):
            self.end(conversation)

    def _enter(self, conversation: str) -> _Conversation:
        found = self._conversations.get(conversation) or self._open(conversation)
        most = self._settings.max_publishers
        if found.publishers >= most:
            raise RefusedError("full", f"{conversation} has {most} publishers, as many as may be", retry_after_s=5.0)
        if found.expiry:
            found.expiry.cancel()
            found.expiry = None
        found.publishers += 1
        return found

    async def _announced(
        self, conversation: str, joined: _Conversation, seat: _Seat, source: ChunkSource
    ) -> AsyncIterator[AudioChunk]:
        """The source as it is; each speaker is announced with their first sound."""
        async for chunk in source:
            speaker = chunk.track.speaker
            if speaker not in seat.heard:
                if speaker not in seat.speakers:
                    self._claim(conversation, joined, seat, speaker)
                seat.heard.append(speaker)
                self.hub.publish(SpeakerJoined(conversation, joined.session.name_of(speaker)))
            yield chunk

    def _claim(self, conversation: str, joined: _Conversation, seat: _Seat, speaker: str) -> None:
        taken = {joined.session.name_of(other) for other in joined.speakers} | set(joined.speakers)
        if speaker in taken or joined.session.name_of(speaker) in taken:
            raise RefusedError("speaker_taken", f"{speaker} is publishing in {conversation} already: use another name")
        joined.speakers.append(speaker)
        seat.speakers.append(speaker)

    def _open(self, conversation: str) -> _Conversation:
        if self._ending:
            raise RefusedError("full", "the engine is shutting down: try again in a moment", retry_after_s=5.0)
        if len(self._conversations) >= self._settings.max_sessions:
            raise RefusedError(
                "full",
                f"all {self._settings.max_sessions} conversations are taken: try again later, or raise max_sessions",
                retry_after_s=5.0,
            )
        if self._load.refusal:
            raise RefusedError("full", self._load.refusal, retry_after_s=5.0)
        session = Session(conversation, self.models, self.hub, self._settings, self._load)
        opened = self._conversations[conversation] = _Conversation(session)
        self.hub.publish(Disclosure(conversation))
        self._tasks.create_task(self._run(conversation, opened), name=f"conversation {conversation}")
        return opened

    def _leave(self, conversation: str, left: _Conversation, seat: _Seat, grace_s: float) -> None:
        if self._conversations.get(conversation) is not left:
            return  # ended meanwhile, and nothing may follow its end
        left.publishers -= 1
        for speaker in seat.speakers:
            left.speakers.remove(speaker)
        for speaker in seat.heard:
            self.hub.publish(SpeakerLeft(conversation, left.session.name_of(speaker)))
        if left.publishers == 0:
            loop = asyncio.get_running_loop()
            left.expiry = loop.call_later(grace_s, self.end, conversation)

    async def _run(self, conversation: str, opened: _Conversation) -> None:
        try:
            await opened.session.run()
        except Exception:  # noqa: BLE001 - one session's failure never reaches another
            log.exception("conversation %s failed and was ended; others go on", conversation)
        finally:
            if self._conversations.get(conversation, opened) is opened:  # nobody has opened it anew meanwhile
                self._conversations.pop(conversation, None)
                self.hub.close(conversation)


@asynccontextmanager
async def open_supervisor(settings: Settings, hub: Hub | None = None) -> AsyncIterator[Supervisor]:
    """Models loaded and warm on entry; every conversation ended and every worker stopped on exit.

    Events go to `hub`; to one of its own, which keeps nothing, where none is given.
    """
    hub = hub or Hub(settings.replay_events, settings.subscriber_queue)
    async with open_models(settings) as models, asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(models, settings, tasks, hub)
        try:
            yield supervisor
        finally:
            supervisor.end_all()

"""All conversations of this process: opens, shares, keeps and ends them. A failure in one never reaches another."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from engine.cluster.client import remote_backend
from engine.config import Settings, recorded_settings
from engine.conversation.models import Models, open_models
from engine.conversation.session import Session
from engine.delivery.change import change_rule
from engine.delivery.hub import Hub
from engine.disclosure import disclosure_text
from engine.errors import CommandError, RefusedError
from engine.events import Disclosure
from engine.media import ChunkSource
from engine.names import name_problem
from engine.recording.recorder import Recorder
from engine.runtime.limits import Client, slot_refusal
from engine.runtime.load_shedding import EngineLoad, LoadShedder
from engine.server.running_conversation import RETRY_AFTER_S, RunningConversation, Slot

log = logging.getLogger(__name__)


class Supervisor:
    """Use inside `open_supervisor`."""

    def __init__(
        self, models: Models, settings: Settings, tasks: asyncio.TaskGroup, hub: Hub, recorder: Recorder | None = None
    ) -> None:
        self.hub = hub
        self.models = models
        self._settings = settings
        self._tasks = tasks
        self._recorder = recorder
        self.load = EngineLoad()
        self.failed = 0  # conversations
        self._conversations: dict[str, RunningConversation] = {}
        self._dropped_chunks = 0  # of conversations that are over
        self._unfinished: set[RunningConversation] = set()  # those that are ending, too
        self._running_tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    @property
    def ready(self) -> bool:
        """False while shutting down, or when a model hangs. Models are loaded before there is a supervisor."""
        return not (self._ending or self.models.hangs.restart_needed.is_set())

    @property
    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        return {
            "model": self.models.checkpoint.name,
            "asr": self.models.asr,
            "conversations": len(self._conversations),
            "max_sessions": self._settings.max_sessions,
            "hung_calls": dict(self.models.hangs.total),
        }

    @property
    def conversations(self) -> int:
        """How many run."""
        return len(self._conversations)

    @property
    def publishers(self) -> int:
        """How many there are, in all conversations."""
        return sum(it.publishers for it in self._conversations.values())

    @property
    def dropped_chunks(self) -> int:
        """Chunks of audio that were dropped because the engine was behind live."""
        return self._dropped_chunks + sum(it.session.dropped_chunks for it in self._unfinished)

    async def join(self, conversation: str, source: ChunkSource, *, live: bool, client: Client = ()) -> None:
        """Run one source in a slot of its own. Raises RefusedError as `open_slot` does."""
        async with self.open_slot(conversation, live=live, client=client) as slot:
            await slot(source)

    @asynccontextmanager
    async def open_slot(
        self, conversation: str, speaker: str | None = None, *, live: bool = True, client: Client = ()
    ) -> AsyncIterator[Slot]:
        """One publisher's part in a conversation. Inside, call the slot with the publisher's media.

        The name `speaker` is reserved from now on, those of other speakers with their first chunk. When the last
        publisher of a live conversation has left, its graph is kept for `rejoin_grace_s`, so that it continues for
        those who return. A conversation counts for the client that has opened it. Raises RefusedError, here and in the
        call: full, too_many, speaker_taken, stopped, or failed when the conversation broke.
        """
        joined = self._conversations.get(conversation) or await self._claim_and_open(conversation, client)
        grace_s = self._settings.rejoin_grace_s if live else 0.0
        with joined.open_slot(speaker, grace_s, live=live) as slot:
            yield slot

    async def start(self, conversation: str) -> None:
        """Open a conversation, which is announced to its subscribers. No effect where it runs.

        It ends again where nobody publishes within `rejoin_grace_s`. Raises CommandError.
        """
        if problem := name_problem("conversation", conversation):
            raise CommandError(problem)
        if conversation not in self._conversations:
            try:
                opened = await self._claim_and_open(conversation)
            except RefusedError as error:
                raise CommandError(f"{error}.") from error
            opened.expire_after(self._settings.rejoin_grace_s)

    def stop(self, conversation: str) -> None:
        """End a conversation now. The events of turns in progress are still published. Raises CommandError."""
        self._running(conversation)
        self.end(conversation, stopped=True)

    def rename(self, conversation: str, speaker: str, name: str) -> None:
        """Call `speaker` by another name from the next event on. Raises CommandError."""
        for what, text in (("speaker", speaker), ("name", name)):
            if problem := name_problem(what, text):
                raise CommandError(problem)
        self._running(conversation).rename(speaker, name)

    def end(self, conversation: str, *, stopped: bool = False) -> None:
        """End a conversation now, if it runs. The events of turns in progress are still published."""
        found = self._conversations.pop(conversation, None)
        if found is not None:
            found.close(stopped=stopped)

    async def end_lost(self) -> None:
        """Ends conversations that another engine has continued, until cancelled."""
        while True:
            self.end(await self.hub.lost())

    def refuse_new(self) -> None:
        """For shutdown: from now on nobody may join. The next run may continue the conversations."""
        self._ending = True
        self.hub.hold_states()

    async def all_ended(self) -> None:
        """End all conversations; returns when their last events are published."""
        self.end_all()
        if self._running_tasks:
            await asyncio.wait(self._running_tasks)

    def end_all(self) -> None:
        """As `refuse_new`, and end all conversations."""
        self.refuse_new()
        for conversation in list(self._conversations):
            self.end(conversation)

    def abandon(self) -> None:
        """End all conversations without the turns in progress, which a model that hangs holds up."""
        for running in self._running_tasks:
            running.cancel()

    def _running(self, conversation: str) -> RunningConversation:
        if problem := name_problem("conversation", conversation):
            raise CommandError(problem)
        if conversation not in self._conversations:
            raise CommandError(f"No conversation {conversation} is running.")
        return self._conversations[conversation]

    async def _claim_and_open(self, conversation: str, client: Client = ()) -> RunningConversation:
        await self.hub.claim(conversation)
        return self._conversations.get(conversation) or self._open(conversation, client)  # opened meanwhile, by another

    def _open(self, conversation: str, client: Client) -> RunningConversation:
        if self._ending:
            raise RefusedError("full", "the engine is shutting down: try again in a moment", RETRY_AFTER_S)
        most = self._settings.max_sessions
        holders = [it.client for it in self._conversations.values() if it.kept_until_s is None]
        if len(holders) >= most:
            message = f"all {most} conversations are taken: try again later, or raise max_sessions"
            raise RefusedError("full", message, RETRY_AFTER_S)
        if refusal := slot_refusal(client, holders, most, self._settings.max_sessions_per_client):
            raise RefusedError("too_many", refusal, RETRY_AFTER_S)
        if refusal := self.load.refusal(client):
            raise RefusedError("full", refusal, RETRY_AFTER_S)
        if len(self._conversations) >= most:
            self._end_kept(client)
        load = self.load.open(conversation, client)
        saved = self.hub.saved_state(conversation)
        session = Session(conversation, self.models, self.hub, self._settings, load, saved)
        expired = partial(self.end, conversation)
        recording = self._recorder.open(conversation, recorded_settings(self._settings)) if self._recorder else None
        opened = RunningConversation(session, self.hub, self._settings, expired, recording, client)
        self._conversations[conversation] = opened
        self._unfinished.add(opened)
        locale, own = self._settings.disclosure_locale, self._settings.disclosure_text
        text = disclosure_text(own, locale, recorded=recording is not None)
        self.hub.publish(Disclosure(conversation, text, locale))
        running = self._tasks.create_task(self._run(conversation, opened, load), name=f"conversation {conversation}")
        self._running_tasks.add(running)
        running.add_done_callback(self._running_tasks.discard)
        return opened

    def _end_kept(self, client: Client) -> None:
        """End one that nobody publishes to, if there is any: of the client, else whose time is over first.

        So those who come and leave cannot fill the engine with what is kept for them.
        """
        kept = [
            (set(client).isdisjoint(it.client), it.kept_until_s, name)
            for name, it in self._conversations.items()
            if it.kept_until_s is not None
        ]
        if kept:
            _, _, name = min(kept)
            self.end(name)

    async def _run(self, name: str, opened: RunningConversation, load: LoadShedder) -> None:
        try:
            await opened.run()
        except Exception:  # noqa: BLE001 - the failure of one session must not reach another
            self.failed += 1
            log.exception("conversation %s failed and was ended; others continue", name)
        finally:
            self.load.close(name, load)
            if self._recorder and opened.recording:
                self._recorder.close(opened.recording)
            self._unfinished.discard(opened)
            self._dropped_chunks += opened.session.dropped_chunks
            if self._conversations.get(name, opened) is opened:  # not opened again meanwhile
                self._conversations.pop(name, None)
                self.hub.close(name)


@asynccontextmanager
async def open_supervisor(
    settings: Settings, hub: Hub | None = None, recorder: Recorder | None = None
) -> AsyncIterator[Supervisor]:
    """Models are loaded and warm on entry; on exit every conversation is ended and every worker stopped.

    Events go to `hub`. Without one they go to a new hub, which keeps no log. `recorder` keeps the media.
    """
    hub = hub or Hub(settings.replay_events, settings.subscriber_queue, change=change_rule(settings))
    elsewhere = await asyncio.to_thread(remote_backend, settings.inference) if settings.inference else None
    async with open_models(settings, elsewhere) as models, asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(models, settings, tasks, hub, recorder)
        losses = tasks.create_task(supervisor.end_lost(), name="lost conversations")
        try:
            yield supervisor
        finally:
            losses.cancel()
            supervisor.end_all()
            if models.hangs.restart_needed.is_set():
                supervisor.abandon()

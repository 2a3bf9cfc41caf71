"""A running conversation: the slots of its publishers, and which names are taken."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from engine.config import Settings
from engine.conversation.session import Session, SessionFailedError
from engine.delivery.hub import Hub
from engine.errors import CommandError, RefusedError
from engine.events import SpeakerJoined, SpeakerLeft
from engine.media import AudioChunk, ChunkSource
from engine.recording.recorder import Recording
from engine.runtime.limits import Client

RETRY_AFTER_S = 5.0

log = logging.getLogger(__name__)


class RunningConversation:
    """One open conversation and its publishers. `expired` is called when nobody has published for the grace period.

    Where no media ever came, there is nothing to keep and no such period.
    """

    def __init__(
        self,
        session: Session,
        hub: Hub,
        settings: Settings,
        expired: Callable[[], None],
        recording: Recording | None = None,
        client: Client = (),
    ) -> None:
        self.name = session.conversation
        self.client = client  # who has opened it
        self.session = session
        self.recording = recording
        self.stopped = False  # by a command, so that its end is no failure
        self._hub = hub
        self._max_publishers = settings.max_publishers
        self._max_speakers = settings.max_speakers
        self._expired = expired
        self._slots: set[Slot] = set()
        self._ended = False
        self._begun = False  # somebody has spoken
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def publishers(self) -> int:
        """How many there are."""
        return len(self._slots)

    @property
    def kept_until_s(self) -> float | None:
        """When it ends, on the clock of the loop, unless somebody publishes before; None while somebody does."""
        return self._expiry.when() if self._expiry else None

    async def run(self) -> None:
        """Until `close()`. Raises whatever ended the session."""
        try:
            await self.session.run()
        finally:
            self._ended = True

    def close(self, *, stopped: bool = False) -> None:
        """Publish the turns in progress, then end."""
        self._ended, self.stopped = True, stopped
        self._cancel_expiry()
        self.session.close()

    @contextmanager
    def open_slot(self, speaker: str | None, grace_s: float, *, live: bool) -> Iterator["Slot"]:
        """See `Supervisor.open_slot`."""
        if len(self._slots) >= self._max_publishers:
            message = f"{self.name} has {self._max_publishers} publishers, the most that are allowed"
            raise RefusedError("full", message, RETRY_AFTER_S)
        slot = Slot(self, live=live)
        self._slots.add(slot)
        self._cancel_expiry()
        try:
            if speaker is not None:
                slot.reserve(speaker)
            yield slot
        finally:
            if not self._ended:  # nothing may follow its end
                self._slots.remove(slot)
                slot.announce_left()
                if not self._slots:
                    self.expire_after(grace_s if self._begun else 0.0)

    def expire_after(self, grace_s: float) -> None:
        """Unless a slot is opened before."""
        self._expiry = asyncio.get_running_loop().call_later(grace_s, self._expired)

    def announce(self, kind: type[SpeakerJoined | SpeakerLeft], speaker: str) -> None:
        """Publish that a speaker joined or left, under their present name."""
        self._begun = True
        self._hub.publish(kind(self.name, self.session.name_of(speaker)))

    def check_free(self, speaker: str) -> None:
        """Raises RefusedError where the name is the original or the present one of a speaker, or there are too many."""
        if not self._taken().isdisjoint((speaker, self.session.name_of(speaker))):
            raise RefusedError("speaker_taken", f"{speaker} is publishing in {self.name} already: use another name")
        if len(self._speakers()) >= self._max_speakers:
            message = f"{self.name} has {self._max_speakers} speakers, the most that are allowed"
            raise RefusedError("full", message, RETRY_AFTER_S)

    def rename(self, speaker: str, name: str) -> None:
        """Give `speaker`, their present name, another name. Raises CommandError."""
        originals = {self.session.name_of(original): original for original in self._speakers()}
        if speaker not in originals:
            raise CommandError(f"Nobody called {speaker} publishes in {self.name}.")
        if name == speaker:
            return
        if name in self._taken():
            raise CommandError(f"{name} is somebody else in {self.name}: use another name.")
        self.session.rename(originals[speaker], name)
        self._hub.publish(SpeakerLeft(self.name, speaker))
        self._hub.publish(SpeakerJoined(self.name, name))

    def _cancel_expiry(self) -> None:
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None

    def _speakers(self) -> list[str]:
        return [speaker for slot in self._slots for speaker in slot.speakers]

    def _taken(self) -> set[str]:
        speakers = self._speakers()
        return {self.session.name_of(speaker) for speaker in speakers} | set(speakers)


class Slot:
    """One publisher's part in a conversation. Call it with the publisher's media.

    `live`: somebody waits for the results. The media of a file is not live.
    """

    def __init__(self, conversation: RunningConversation, *, live: bool) -> None:
        self.speakers: list[str] = []  # names reserved for this publisher
        self._announced: list[str] = []
        self._conversation = conversation
        self._live = live

    async def __call__(self, source: ChunkSource) -> None:
        """Run the media through the conversation until it ends and its last event is in the hub.

        Raises RefusedError, and for media that is not live whatever `source` raises.
        """
        session, recording = self._conversation.session, self._conversation.recording
        media = recording.tap(source, live=self._live) if recording else source
        try:
            await session.join(self._announcing(media), live=self._live, dropped=lambda: source.dropped)
        except SessionFailedError as error:
            if self._conversation.stopped:
                raise RefusedError("stopped", f"{session.conversation} was stopped; start it again to go on") from error
            raise RefusedError("failed", f"{error}; start it again") from error
        except RefusedError:
            raise
        except Exception as error:
            if not self._live:  # for example a file that cannot be read: the caller knows what to do
                raise
            log.exception("a publisher in conversation %s failed; others continue", session.conversation)
            message = f"this audio for {session.conversation} cannot be processed; start again"
            raise RefusedError("failed", message) from error

    def reserve(self, speaker: str) -> None:
        """Raises RefusedError where the name is taken."""
        self._conversation.check_free(speaker)
        self.speakers.append(speaker)

    def announce_left(self) -> None:
        """Publish that its speakers left."""
        for speaker in self._announced:
            self._conversation.announce(SpeakerLeft, speaker)

    async def _announcing(self, source: AsyncIterable[AudioChunk]) -> AsyncIterator[AudioChunk]:
        """The chunks unchanged. Each speaker is announced at their first chunk."""
        async for chunk in source:
            speaker = chunk.track.speaker
            if speaker not in self._announced:
                if speaker not in self.speakers:
                    self.reserve(speaker)
                self._announced.append(speaker)
                self._conversation.announce(SpeakerJoined, speaker)
            yield chunk

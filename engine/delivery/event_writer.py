"""What may come between a hub and its subscribers: events are stored before they are delivered."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.delivery.wire import EncodedEvent


class EventWriter(Protocol):
    """Stores events before they are delivered."""

    numbering: str  # sequence numbers continue within one numbering

    @property
    def keeps_events(self) -> bool:
        """Whether events and the states of conversations are stored."""
        ...

    def last_seq(self, conversation: str) -> int:
        """The highest number that the conversation may have used in earlier runs; 0 for a new one."""

    def append(self, encoded: EncodedEvent, deliver: Callable[[], None], state: bytes | None = None) -> None:
        """Never waits. Calls `deliver` on the loop once the event is stored, in the order of the calls.

        `state`: that of the conversation after the event, stored with it until the conversation ends.
        """

    async def claim(self, conversation: str) -> Sequence[tuple[int, str]]:
        """Must precede the conversation's first event. Returns the latest events of other engines: (seq, JSON).

        Raises RefusedError where another engine runs it.
        """

    async def latest_events(self, conversation: str) -> Sequence[tuple[int, str]]:
        """Those of `claim`, for subscribers of a conversation that does not run here."""

    async def lost(self) -> str:
        """Waits for a conversation that another engine has continued, and must end here."""

    def take_state(self, conversation: str) -> bytes | None:
        """The state from an earlier run, or of another engine, once, if the conversation may continue."""

    def hold_states(self) -> None:
        """Conversations that end from now on may continue in the next run."""

    async def flush(self) -> None:
        """Returns when all appended events are delivered."""


class SingleOwner:
    """For writers whose conversations belong to this engine alone."""

    async def claim(self, conversation: str) -> Sequence[tuple[int, str]]:
        """See `EventWriter`."""
        return ()

    async def latest_events(self, conversation: str) -> Sequence[tuple[int, str]]:
        """See `EventWriter`."""
        return ()

    async def lost(self) -> str:
        """See `EventWriter`. Never returns."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never


class NoStorage(SingleOwner):
    """Events are delivered at once. See `EventWriter`."""

    keeps_events = False

    def __init__(self, numbering: str) -> None:
        self.numbering = numbering

    def last_seq(self, conversation: str) -> int:
        return 0

    def append(self, encoded: EncodedEvent, deliver: Callable[[], None], state: bytes | None = None) -> None:
        deliver()

    def take_state(self, conversation: str) -> bytes | None:
        return None

    def hold_states(self) -> None:
        pass

    async def flush(self) -> None:
        pass

"""What engines share of each conversation: its state, its numbers and its latest events, with one owner at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.errors import EngineError


class ConversationStoreError(EngineError):
    """The store cannot be reached, or its address is wrong."""


class OwnedElsewhereError(EngineError):
    """Another engine owns the conversation. `retry_after_s`: its lease ends by then, unless it is renewed."""

    def __init__(self, conversation: str, retry_after_s: float) -> None:
        super().__init__(f"another engine runs {conversation}: publish there, or try again if it has ended")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """`events` are (seq, JSON), oldest first; no number above `seq_limit` was used."""

    state: bytes | None = None
    seq_limit: int = 0
    events: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one conversation has published since the last one.

    `state` is None where it has not changed, `ended` where nobody will continue it.
    """

    conversation: str
    seq: int
    seq_limit: int
    state: bytes | None
    events: tuple[str, ...]  # JSON
    ended: bool = False


class ConversationStore(Protocol):
    """All methods raise ConversationStoreError where the store does not answer."""

    numbering: str  # sequence numbers continue within one numbering

    async def claim(self, conversation: str) -> StoredConversation:
        """Become its owner, for as long as the lease is renewed. Raises OwnedElsewhereError."""
        ...

    async def read(self, conversation: str) -> StoredConversation:
        """Without owning it."""
        ...

    async def save(self, checkpoints: Sequence[Checkpoint]) -> set[str]:
        """Write each one if this engine is the owner and wrote the one before it; else nothing of it.

        Renews their leases. Returns the conversations that another engine has continued.
        """
        ...

    async def renew(self, conversations: Sequence[str]) -> set[str]:
        """Returns the conversations that another engine has continued."""
        ...

    async def release(self, conversations: Sequence[str]) -> None:
        """Another engine may continue them at once."""
        ...

    async def forget(self, conversation: str) -> None:
        """Delete its state and its events; its numbers stay."""
        ...

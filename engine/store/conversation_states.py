"""States of running conversations, for the next run of the engine. Blocking; belongs to the event writer's thread."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.store.database import Database


class StateRow(NamedTuple):
    """`state` is None for a conversation that has ended; `at_s` is in seconds since 1970."""

    conversation: str
    at_s: float
    state: bytes | None


class ConversationStates:
    """One state per conversation, and when the engine was last alive."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def load(self) -> dict[str, bytes]:
        return dict(self._db.execute("SELECT conversation, state FROM conversation_state"))

    def alive_s(self) -> float:
        """When the engine that wrote this file was last alive; 0 where none was."""
        found = self._db.execute("SELECT at_s FROM alive").fetchone()
        return float(found[0]) if found else 0.0

    def touch(self, at_s: float) -> None:
        """The engine is alive."""
        self._db.execute("INSERT OR REPLACE INTO alive (id, at_s) VALUES (0, ?)", (at_s,))

    def put(self, rows: Iterable[StateRow]) -> None:
        for row in rows:
            if row.state is None:
                self.forget(row.conversation)
            else:
                self._db.execute("INSERT OR REPLACE INTO conversation_state VALUES (?, ?, ?)", row)

    def forget(self, conversation: str) -> None:
        self._db.execute("DELETE FROM conversation_state WHERE conversation = ?", (conversation,))

    def expire(self, before_s: float, keep: Iterable[str]) -> None:
        """Delete older ones, except for those of these conversations."""
        kept = list(keep)
        marks = ", ".join("?" * len(kept))
        self._db.execute(
            f"DELETE FROM conversation_state WHERE at_s < ? AND conversation NOT IN ({marks})", (before_s, *kept)
        )

"""The events of all conversations, in SQLite. Blocking; belongs to the event writer's thread."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.store.database import Database

CHUNK = 2000  # events deleted in one transaction, so that writing is not delayed


class EventRow(NamedTuple):
    conversation: str
    seq: int
    at_s: float
    speaker: str | None
    json: str


class LoggedConversation(NamedTuple):
    """`last_at_s` is in seconds since 1970."""

    id: str
    last_seq: int
    last_at_s: float


class EventLog:
    """Events by conversation and seq. Events that are superseded (interim) are not stored and leave gaps."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def numbers(self) -> tuple[int, dict[str, int]]:
        """(floor, highest reserved number by conversation): new numbers begin after these."""
        (floor,) = self._db.execute("SELECT seq FROM floor").fetchone()
        return floor, dict(self._db.execute("SELECT id, seq_limit FROM conversation"))

    def numbering(self) -> str:
        """Identifies this file: sequence numbers continue as long as it exists."""
        (found,) = self._db.execute("SELECT id FROM numbering").fetchone()
        return str(found)

    def reserve(self, limits: Mapping[str, int]) -> None:
        """Allow each conversation to use numbers up to its limit."""
        self._db.executemany("INSERT OR REPLACE INTO conversation VALUES (?, ?)", limits.items())

    def add(self, rows: Iterable[EventRow]) -> None:
        self._db.executemany(
            "INSERT INTO event (conversation, seq, at_s, speaker, json) VALUES (?, ?, ?, ?, ?)", list(rows)
        )

    def events(self, conversation: str, after_seq: int, limit: int) -> list[tuple[int, str]]:
        """(seq, JSON) in order."""
        found = self._db.execute(
            "SELECT seq, json FROM event WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?",
            (conversation, after_seq, limit),
        )
        return found.fetchall()

    def started(self, conversation: str) -> dict[int, float]:
        """The number and the time of each start of the conversation, in order."""
        found = self._db.execute(
            "SELECT seq, at_s FROM event WHERE conversation = ? AND json LIKE ? ORDER BY seq",
            (conversation, '{"type":"conversation.started"%'),
        )
        return dict(found)

    def latest(self, conversation: str, limit: int) -> list[str]:
        """JSON, the latest first."""
        found = self._db.execute(
            "SELECT json FROM event WHERE conversation = ? ORDER BY seq DESC LIMIT ?", (conversation, limit)
        )
        return [text for (text,) in found]

    def reaches(self, conversation: str, after_seq: int, up_to_seq: int, most: int) -> bool:
        """Whether all stored events from `after_seq` to `up_to_seq` are still here, and at most `most` of them."""
        # Retention deletes the oldest events, so there are no holes after the first.
        (first,) = self._db.execute("SELECT min(seq) FROM event WHERE conversation = ?", (conversation,)).fetchone()
        if first is None or first > after_seq + 1:
            return False
        (count,) = self._db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM event WHERE conversation = ? AND seq > ? AND seq <= ? LIMIT ?)",
            (conversation, after_seq, up_to_seq, most + 1),
        ).fetchone()
        return bool(count <= most)

    def conversations(self, limit: int) -> list[LoggedConversation]:
        """Latest first."""
        found = self._db.execute(
            "SELECT id, seq, at_s FROM conversation JOIN event ON conversation = id"
            " AND seq = (SELECT max(seq) FROM event WHERE conversation = id) ORDER BY n DESC LIMIT ?",
            (limit,),
        )
        return [LoggedConversation(*row) for row in found]

    def speakers(self, conversation: str) -> list[str]:
        found = self._db.execute(
            "SELECT DISTINCT speaker FROM event WHERE conversation = ? AND speaker IS NOT NULL", (conversation,)
        )
        return [name for (name,) in found]

    def forget(self, conversation: str) -> int:
        """Delete the conversation and its name. Returns the number of its events."""
        deleted = self._db.execute("DELETE FROM event WHERE conversation = ?", (conversation,)).rowcount
        self._drop("id = ?", (conversation,))
        return deleted

    def expire(self, before_s: float) -> int:
        """Delete up to CHUNK of the events before this time. Returns how many."""
        return self._db.execute(
            "DELETE FROM event WHERE n IN (SELECT n FROM event ORDER BY n LIMIT ?) AND at_s < ?", (CHUNK, before_s)
        ).rowcount

    def shrink(self, max_bytes: int) -> int:
        """Delete up to CHUNK of the oldest events if the file holds more than `max_bytes`. Returns how many."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size <= max_bytes:
            return 0
        return self._db.execute(
            "DELETE FROM event WHERE n IN (SELECT n FROM event ORDER BY n LIMIT ?)", (CHUNK,)
        ).rowcount

    def drop_empty(self, keep: Iterable[str]) -> list[str]:
        """Delete the names of conversations without events, except for these. Returns the deleted names."""
        kept = list(keep)
        marks = ", ".join("?" * len(kept))
        return self._drop(f"NOT EXISTS (SELECT 1 FROM event WHERE conversation = id) AND id NOT IN ({marks})", kept)

    def _drop(self, where: str, values: Iterable[str]) -> list[str]:
        given = tuple(values)
        self._db.execute(
            f"UPDATE floor SET seq = max(seq, (SELECT coalesce(max(seq_limit), 0) FROM conversation WHERE {where}))",
            given,
        )
        return [name for (name,) in self._db.execute(f"DELETE FROM conversation WHERE {where} RETURNING id", given)]

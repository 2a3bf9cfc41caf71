"""Messages that brokers have not acknowledged yet, in SQLite. Blocking; belongs to the event writer's thread."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine.store.database import Database

# The latest utterance of its speaker, a correction of an earlier one, or a change of emotion.
Kind = Literal["current", "past", "change"]
MAX_DEAD_LETTERS = 1000
_FIELDS = "n, at_s, kind, id, conversation, speaker, json"


class OutboxRow(NamedTuple):
    """`n` increases, and is 0 before the row is stored; `at_s` is in seconds since 1970."""

    n: int
    at_s: float
    kind: Kind
    id: str
    conversation: str
    speaker: str
    json: str


class Outbox:
    """One list for all brokers, each with a cursor. Beyond `capacity` the oldest rows are dropped and counted."""

    def __init__(self, database: Database, brokers: Sequence[str], capacity: int) -> None:
        self.dropped: Counter[str] = Counter()  # by broker
        self._db = database
        found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        self.newest: int = found[0] if found else 0  # the highest n so far
        self._capacity = capacity
        self._sent = {broker: self._cursor(broker) for broker in brokers}
        marks = ", ".join("?" * len(brokers))
        self._db.execute(f"DELETE FROM sent WHERE broker NOT IN ({marks})", tuple(brokers))
        self._trim_sent()

    def add(self, rows: Sequence[OutboxRow]) -> None:
        if not rows:
            return
        self._db.executemany(
            "INSERT INTO outbox (at_s, kind, id, conversation, speaker, json) VALUES (?, ?, ?, ?, ?, ?)",
            [row[1:] for row in rows],
        )
        (self.newest,) = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        self._drop(self.newest - self._capacity)

    def next(self, broker: str, acknowledged: int, limit: int) -> list[OutboxRow]:
        """The oldest rows that this broker has not acknowledged. `acknowledged` is the n of the last it has, or 0."""
        if acknowledged > self._sent[broker]:
            self._sent[broker] = acknowledged
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?)", (broker, acknowledged))
            self._trim_sent()
        found = self._db.execute(
            f"SELECT {_FIELDS} FROM outbox WHERE n > ? ORDER BY n LIMIT ?", (self._sent[broker], limit)
        )
        return [OutboxRow(*row) for row in found]

    def set_aside(self, broker: str, rows: Sequence[OutboxRow]) -> None:
        """Keep rows that this broker cannot receive, for people to look at, as long as others are kept."""
        self._db.executemany(
            "INSERT INTO dead_letter (broker, n, at_s, id, conversation, json) VALUES (?, ?, ?, ?, ?, ?)",
            [(broker, row.n, row.at_s, row.id, row.conversation, row.json) for row in rows],
        )
        (oldest,) = self._db.execute("SELECT max(rowid) - ? FROM dead_letter", (MAX_DEAD_LETTERS,)).fetchone()
        self._db.execute("DELETE FROM dead_letter WHERE rowid <= ?", (oldest,))

    def latest(self) -> list[OutboxRow]:
        """The latest row of each speaker, among those still stored."""
        found = self._db.execute(
            f"SELECT {_FIELDS} FROM outbox WHERE n IN"
            " (SELECT max(n) FROM outbox WHERE kind = 'current' GROUP BY conversation, speaker) ORDER BY n"
        )
        return [OutboxRow(*row) for row in found]

    def waiting(self, broker: str) -> int:
        """Upper limit of the rows that wait for this broker. Does not use the database, so any thread may call it."""
        return self.newest - self._sent[broker]

    def expire(self, before_s: float) -> None:
        """Drop older rows."""
        (last,) = self._db.execute("SELECT max(n) FROM outbox WHERE at_s < ?", (before_s,)).fetchone()
        self._drop(last or 0)
        self._db.execute("DELETE FROM dead_letter WHERE at_s < ?", (before_s,))

    def forget(self, conversation: str) -> None:
        for table in ("outbox", "dead_letter"):
            self._db.execute(f"DELETE FROM {table} WHERE conversation = ?", (conversation,))

    def _cursor(self, broker: str) -> int:
        """A new broker starts at the end."""
        found = self._db.execute("SELECT n FROM sent WHERE broker = ?", (broker,)).fetchone()
        if found is None:
            self._db.execute("INSERT INTO sent VALUES (?, ?)", (broker, self.newest))
        return int(found[0]) if found else self.newest

    def _trim_sent(self) -> None:
        """Delete rows that all brokers have acknowledged: all rows, if there are no brokers."""
        self._db.execute("DELETE FROM outbox WHERE n <= ?", (min(self._sent.values(), default=self.newest),))

    def _drop(self, up_to: int) -> None:
        (oldest,) = self._db.execute("SELECT min(n) FROM outbox").fetchone()
        if oldest is None or oldest > up_to:
            return
        for broker, sent in list(self._sent.items()):
            between = (max(sent, oldest - 1), up_to)
            (lost,) = self._db.execute("SELECT count(*) FROM outbox WHERE n > ? AND n <= ?", between).fetchone()
            self.dropped[broker] += lost
            self._sent[broker] = max(sent, up_to)
        self._db.execute("DELETE FROM outbox WHERE n <= ?", (up_to,))

"""Messages that brokers and webhooks have not acknowledged, in SQLite. Blocking; of the event writer's thread."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from engine.runtime.clocks import unix_s
from engine.store.database import Database

# For brokers: the latest utterance of its speaker, a correction of an earlier one, or a change of emotion.
BrokerKind = Literal["current", "past", "change"]
WebhookKind = Literal["webhook.final", "webhook.change", "webhook.ended"]
Kind = BrokerKind | WebhookKind
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
    """One list for all brokers and webhooks: each receives its kinds, and has a cursor.

    Beyond `capacity` the oldest rows are dropped and counted.
    """

    def __init__(self, database: Database, brokers: Sequence[str], capacity: int, webhooks: Sequence[str] = ()) -> None:
        self.dropped: Counter[str] = Counter()  # by receiver
        self._db = database
        found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        self.newest: int = found[0] if found else 0  # the highest n so far
        self._capacity = capacity
        self._kinds = dict.fromkeys(brokers, _listed(BrokerKind)) | dict.fromkeys(webhooks, _listed(WebhookKind))
        self._sent = {receiver: self._cursor(receiver) for receiver in self._kinds}
        marks = ", ".join("?" * len(self._kinds))
        self._db.execute(f"DELETE FROM sent WHERE broker NOT IN ({marks})", tuple(self._kinds))
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

    def next(self, receiver: str, acknowledged: int, limit: int, after: int = 0) -> list[OutboxRow]:
        """The oldest rows that it has not acknowledged. `acknowledged` is the n up to which it has all, or 0.

        `after`: the n of the last row that it was given, where it is given more before it has acknowledged that.
        """
        self._acknowledge(receiver, acknowledged)
        start = max(self._sent[receiver], after)
        found = self._db.execute(
            f"SELECT {_FIELDS} FROM outbox WHERE n > ? AND kind IN ({self._kinds[receiver]}) ORDER BY n LIMIT ?",
            (start, limit),
        )
        rows = [OutboxRow(*row) for row in found]
        if not rows and start == self._sent[receiver]:
            self._acknowledge(receiver, self.newest)  # what there is, is for others
        return rows

    def set_aside(self, receiver: str, rows: Sequence[OutboxRow]) -> None:
        """Keep rows that it cannot receive, for people to look at, from now on as long as others are kept."""
        self._db.executemany(
            "INSERT INTO dead_letter (broker, n, at_s, id, conversation, json) VALUES (?, ?, ?, ?, ?, ?)",
            [(receiver, row.n, unix_s(), row.id, row.conversation, row.json) for row in rows],
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

    def waiting(self, receiver: str) -> int:
        """Upper limit of the rows that wait for it. Does not use the database, so any thread may call it."""
        return self.newest - self._sent[receiver]

    def expire(self, before_s: float) -> None:
        """Drop older rows."""
        (last,) = self._db.execute("SELECT max(n) FROM outbox WHERE at_s < ?", (before_s,)).fetchone()
        self._drop(last or 0)
        self._db.execute("DELETE FROM dead_letter WHERE at_s < ?", (before_s,))

    def forget(self, conversation: str) -> None:
        for table in ("outbox", "dead_letter"):
            self._db.execute(f"DELETE FROM {table} WHERE conversation = ?", (conversation,))

    def _cursor(self, receiver: str) -> int:
        """A new receiver starts at the end."""
        found = self._db.execute("SELECT n FROM sent WHERE broker = ?", (receiver,)).fetchone()
        if found is None:
            self._db.execute("INSERT INTO sent VALUES (?, ?)", (receiver, self.newest))
        return int(found[0]) if found else self.newest

    def _acknowledge(self, receiver: str, up_to: int) -> None:
        if up_to > self._sent[receiver]:
            self._sent[receiver] = up_to
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?)", (receiver, up_to))
            self._trim_sent()

    def _trim_sent(self) -> None:
        """Delete rows that all have acknowledged: all rows, if there is nobody."""
        self._db.execute("DELETE FROM outbox WHERE n <= ?", (min(self._sent.values(), default=self.newest),))

    def _drop(self, up_to: int) -> None:
        (oldest,) = self._db.execute("SELECT min(n) FROM outbox").fetchone()
        if oldest is None or oldest > up_to:
            return
        for receiver, sent in list(self._sent.items()):
            where = f"n > ? AND n <= ? AND kind IN ({self._kinds[receiver]})"
            between = (max(sent, oldest - 1), up_to)
            (lost,) = self._db.execute(f"SELECT count(*) FROM outbox WHERE {where}", between).fetchone()
            self.dropped[receiver] += lost
            self._sent[receiver] = max(sent, up_to)
        self._db.execute("DELETE FROM outbox WHERE n <= ?", (up_to,))


def _listed(kinds: object) -> str:
    """For SQL."""
    return ", ".join(f"'{kind}'" for kind in get_args(kinds))

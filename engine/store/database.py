"""The one SQLite file of an engine: event log and outbox. Blocking; belongs to one thread (see `writer.py`)."""

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from engine.errors import EngineError
from engine.runtime.clocks import unix_s

log = logging.getLogger(__name__)

MEMORY = ":memory:"  # no file: lives as long as the process
FORMAT = 1
_TABLES = """
CREATE TABLE conversation (
    id TEXT PRIMARY KEY,
    seq_limit INTEGER NOT NULL  -- no higher number was used
);
-- no deleted conversation used a higher number
CREATE TABLE floor (seq INTEGER NOT NULL);
INSERT INTO floor VALUES (0);
CREATE TABLE event (
    n INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_s REAL NOT NULL,  -- seconds since 1970
    speaker TEXT,
    json TEXT NOT NULL,
    UNIQUE (conversation, seq)
);
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, so that it can be a cursor
    at_s REAL NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    speaker TEXT NOT NULL,
    json TEXT NOT NULL
);
CREATE TABLE sent (broker TEXT PRIMARY KEY, n INTEGER NOT NULL);
"""


class StoreError(EngineError):
    """The file cannot be used."""


class Database:
    """A connection, which is replaced where its file vanishes."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._file = _identity(path)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> sqlite3.Cursor:
        return self._connection.executemany(sql, rows)

    def executescript(self, sql: str) -> None:
        self._connection.executescript(sql)

    def close(self) -> None:
        self._connection.close()

    def restore(self) -> None:
        """Where the file was deleted or moved away, write all of it again. Raises sqlite3.Error.

        The system keeps a deleted file for those who have it open, so writing to it would seem to work.
        """
        found = _identity(self._path)
        if found == self._file:
            return
        if found is not None:
            raise sqlite3.OperationalError(f"another file has taken the place of {self._path}")
        log.warning("%s has vanished and is written again", self._path)
        unfinished = f"{self._path}.unfinished"
        try:
            os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(unfinished)) as copy:
                self._connection.backup(copy)
            self._connection.close()  # before the new one is open: it deletes its write-ahead log by name
            os.replace(unfinished, self._path)
            self._connection = _connect(self._path)
        except (OSError, StoreError) as error:
            raise sqlite3.OperationalError(f"{self._path} has vanished: {error}") from error
        self._file = _identity(self._path)


def _identity(path: str) -> tuple[int, int] | None:
    """Of the file, or None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_database(path: str) -> Database:
    """Open the file for this process alone. Raises StoreError.

    WAL with synchronous=NORMAL: committed data survives a crash of the process, but not always a loss of power.
    """
    return Database(_connect(path), path)


def _connect(path: str) -> sqlite3.Connection:
    database: sqlite3.Connection | None = None
    try:
        if path != MEMORY and not Path(path).exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # transcripts are private
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        return _prepared(database, path)
    except (OSError, sqlite3.Error, TypeError, ValueError, StoreError) as error:  # ValueError: names that are not text
        if database is not None:
            database.close()
        if isinstance(error, StoreError):
            raise
        if "locked" in str(error):
            raise StoreError(f"{path} is in use by another engine: give each its own event_log") from error
        raise StoreError(f"{path} cannot be used as event log: {error}; choose another event_log") from error


def _prepared(database: sqlite3.Connection, path: str) -> sqlite3.Connection:
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # two engines would use the same numbers
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    database.execute("BEGIN IMMEDIATE")
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found == 0:
        if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise StoreError(f"{path} is another program's database; choose another event_log")
        for statement in _TABLES.split(";\n"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {FORMAT}")
    elif found != FORMAT:
        raise StoreError(f"{path} was written by another version of the engine; move it away or choose another")
    # Files of earlier versions lack these tables.
    database.execute("CREATE TABLE IF NOT EXISTS conversation_state (conversation PRIMARY KEY, at_s REAL, state BLOB)")
    database.execute("CREATE TABLE IF NOT EXISTS alive (id INTEGER PRIMARY KEY, at_s REAL NOT NULL)")
    database.execute("CREATE TABLE IF NOT EXISTS dead_letter (broker TEXT NOT NULL, n, at_s, id, conversation, json)")
    database.execute("CREATE TABLE IF NOT EXISTS numbering (id TEXT NOT NULL)")
    if not database.execute("SELECT count(*) FROM numbering").fetchone()[0]:
        database.execute("INSERT INTO numbering VALUES (?)", (f"{round(unix_s() * 1e3):x}",))
    database.execute("COMMIT")
    return database

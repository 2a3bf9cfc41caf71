"""The one SQLite file of an engine: event log and outbox. Blocking; belongs to one thread (see `writer.py`)."""

import os
import sqlite3
from pathlib import Path

from engine.errors import EngineError
from engine.runtime.clocks import unix_s

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


def open_database(path: str) -> sqlite3.Connection:
    """Open the file for this process alone. Raises StoreError.

    WAL with synchronous=NORMAL: committed data survives a crash of the process, but not always a loss of power.
    """
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

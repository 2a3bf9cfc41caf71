"""The thread that owns the database."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from engine.store.database import Database

QUERY_S = 5.0

Args = ParamSpec("Args")
Result = TypeVar("Result")


class Transactions:
    """Runs blocking code on the database in `thread`, one transaction after the other."""

    def __init__(self, database: Database, thread: ThreadPoolExecutor) -> None:
        self._db = database
        self._thread = thread

    async def call(self, method: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """The method as one transaction. Raises sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._in_transaction(lambda: method(*args, **kwargs))
        )

    async def query(self, method: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """As `call`, for at most QUERY_S: a client waits for the answer. Raises sqlite3.Error."""
        try:
            async with asyncio.timeout(QUERY_S):
                return await self.call(method, *args, **kwargs)
        except TimeoutError as error:
            raise sqlite3.OperationalError(f"the disk has not answered for {QUERY_S:g} s") from error

    async def scrub(self) -> None:
        """Return deleted pages to the file system, and remove their copies from the write-ahead log."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._scrub)

    def _in_transaction(self, work: Callable[[], Result]) -> Result:
        self._db.restore()
        self._db.execute("BEGIN")
        try:
            result = work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return result

    def _scrub(self) -> None:
        self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page and stop
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

"""Rows that one webhook has yet to receive: one per conversation at a time, in their order. Pure."""

from collections import deque
from collections.abc import Iterable

from engine.store.outbox import OutboxRow


class Backlog:
    """Push rows in their order, send those that are `ready`, and report each when it is `done`."""

    def __init__(self) -> None:
        self.read = 0  # the n of the last row that was pushed
        self._waiting: dict[str, deque[OutboxRow]] = {}  # by conversation; the first may be under way
        self._under_way: set[str] = set()
        self._unfinished: dict[int, None] = {}  # by n, which increases

    def __len__(self) -> int:
        return len(self._unfinished)

    def __contains__(self, row: OutboxRow) -> bool:
        """False for a row that is done or forgotten."""
        return row.n in self._unfinished

    @property
    def acknowledged(self) -> int:
        """Up to this n, all rows are done."""
        return next(iter(self._unfinished), self.read + 1) - 1

    def push(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            self._waiting.setdefault(row.conversation, deque()).append(row)
            self._unfinished[row.n] = None
            self.read = row.n

    def ready(self) -> list[OutboxRow]:
        """The next rows of conversations of which none is under way. They are under way from now on."""
        idle = [name for name in self._waiting if name not in self._under_way]
        self._under_way.update(idle)
        return [self._waiting[name][0] for name in idle]

    def done(self, row: OutboxRow) -> None:
        """It was received or given up."""
        self._under_way.discard(row.conversation)
        self._unfinished.pop(row.n, None)
        waiting = self._waiting.get(row.conversation)
        if waiting and waiting[0].n == row.n:
            waiting.popleft()
        if not waiting:
            self._waiting.pop(row.conversation, None)

    def forget(self, conversation: str) -> None:
        """Nothing more of this conversation is to be sent."""
        for row in self._waiting.pop(conversation, ()):
            self._unfinished.pop(row.n, None)

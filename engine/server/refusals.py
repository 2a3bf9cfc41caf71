"""Counts what was refused, by the code of the error that its sender received."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from engine.access.tokens import AccessError
from engine.errors import RefusedError


class Refusals:
    """Of one application. The codes are few: they are part of the protocol."""

    def __init__(self) -> None:
        self.by_code: Counter[str] = Counter()

    def add(self, error: AccessError | RefusedError) -> None:
        self.by_code[error.code] += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the refusals that are raised inside."""
        try:
            yield
        except (AccessError, RefusedError) as refused:
            self.add(refused)
            raise

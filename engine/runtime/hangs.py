"""Calls of models that have not returned in time. A thread in native code cannot be ended, only replaced."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


class Hangs:
    """Of all models. `restart_needed` is set when an essential one hangs, or `most` calls hang at the same time."""

    def __init__(self, most: int = 4) -> None:
        self.total: Counter[str] = Counter()  # calls by model, with those that have returned since
        self.now = 0  # threads that are held
        self.restart_needed = asyncio.Event()
        self._most = most

    def began(self, model: str, after_s: float, *, essential: bool) -> None:
        self.total[model] += 1
        self.now += 1
        if essential or self.now >= self._most:
            log.error("the %s model has not answered for %g s: the engine must restart", model, after_s)
            self.restart_needed.set()
        else:
            log.error("the %s model has not answered for %g s: turns go on without its result", model, after_s)

    def ended(self, model: str) -> None:
        """A call has returned after its deadline."""
        self.now -= 1
        log.warning("the %s model has answered after all, too late", model)


@dataclass(frozen=True, slots=True)
class Deadline:
    """For one call of a model. There is no turn without the result of an `essential` one."""

    seconds: float | None = None  # None: however long it takes
    hangs: Hangs = field(default_factory=Hangs)
    essential: bool = False

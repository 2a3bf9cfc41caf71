"""How late the timers of this event loop are: whether a process that measures is itself the bottleneck."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

TICK_S = 0.02


class Lateness:
    """From `measured`."""

    def __init__(self) -> None:
        self._late_s: list[float] = []

    def add(self, late_s: float) -> None:
        self._late_s.append(late_s)

    def restart(self) -> None:
        """Forget what was measured so far."""
        self._late_s.clear()

    @property
    def p99_ms(self) -> float:
        return float(np.percentile(self._late_s, 99)) * 1e3 if self._late_s else 0.0


@asynccontextmanager
async def measured() -> AsyncIterator[Lateness]:
    """While the block runs, a timer every 20 ms."""
    lateness = Lateness()

    async def watch() -> None:
        now = asyncio.get_running_loop().time
        while True:
            due = now() + TICK_S
            await asyncio.sleep(TICK_S)
            lateness.add(max(0.0, now() - due))

    watching = asyncio.create_task(watch(), name="lateness")
    try:
        yield lateness
    finally:
        watching.cancel()
        await asyncio.wait([watching])

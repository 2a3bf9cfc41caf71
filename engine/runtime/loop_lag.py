"""How late the event loop runs what is due: nothing may block it."""

import asyncio

from engine.runtime.durations import STAGE_S, Durations

EVERY_S = 0.1


class LoopLag:
    """Measures while `run` runs."""

    def __init__(self) -> None:
        self.durations = Durations(STAGE_S)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self.durations.observe(max(0.0, loop.time() - due_at))

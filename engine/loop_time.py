"""The clock of everything that is measured or awaited inside the engine."""

import asyncio
import time


def loop_time_s() -> float:
    """Monotonic time in seconds: that of the running event loop, which a replay makes virtual; else `time.monotonic`.

    A loop that is not virtual has the clock of `time.monotonic`.
    """
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()

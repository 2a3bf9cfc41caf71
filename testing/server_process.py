"""A server with real models in a separate process, so that measurements do not include its clients.

The process prints its address, then its resources as JSON for each line of stdin. It exits at the end of stdin.
"""

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from testing.live_engine import running

SETTLES_WITHIN_S = 30.0
ROOT = Path(__file__).resolve().parents[1]

Held = Callable[[], Awaitable[dict[str, float]]]


@asynccontextmanager
async def server_apart(**flags: Any) -> AsyncIterator[tuple[str, Held]]:
    """Yields (URL, a function that returns the server's resources once all publishers have left)."""
    command = [sys.executable, "-m", "testing.server_process", json.dumps(flags)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment)
    assert server.stdin is not None
    assert server.stdout is not None
    stdin, stdout = server.stdin, server.stdout

    async def held() -> dict[str, float]:
        stdin.write(b"and now?\n")
        answer: dict[str, float] = json.loads(await stdout.readline())
        return answer

    try:
        yield (await stdout.readline()).decode().strip(), held
    finally:
        stdin.close()
        await server.wait()


async def act(flags: dict[str, Any]) -> None:
    async with running(**flags) as (_, url):
        reading = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        await asyncio.sleep(1.0)
        at_rest = len(asyncio.all_tasks())
        print(url, flush=True)
        while await reading:
            reading = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLES_WITHIN_S):
                    while len(asyncio.all_tasks()) > at_rest:  # noqa: ASYNC110 - tasks end by themselves
                        await asyncio.sleep(0.1)
            print(json.dumps(count()), flush=True)


def count() -> dict[str, float]:
    gc.collect()
    pool = [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]  # its size is bounded
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")) - len(pool),
        "memory_mb": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
    }


if __name__ == "__main__":
    asyncio.run(act(json.loads(sys.argv[1])))

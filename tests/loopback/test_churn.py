"""Publishers join and leave in every way, and leave nothing behind. `bench/soak.py` takes longer."""

import asyncio
import os
from itertools import cycle, islice
from pathlib import Path

import pytest

from testing.churn import INGEST, WHIP, WHIP_TIMEOUT_S
from testing.live_engine import running

AT_ONCE = 10
DESCRIPTORS = Path("/proc/self/fd")


def kept() -> tuple[int, int]:
    """Numbers of tasks and of file descriptors."""
    return len(asyncio.all_tasks()), len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.exists() else 0


@pytest.mark.timeout(400)
def test_fifty_publishers_leave_no_task_and_no_descriptor() -> None:
    async def main() -> None:
        async with running(rejoin_grace_s=0, media_timeout_s=WHIP_TIMEOUT_S, max_sessions=100) as (supervisor, url):

            async def come_and_go(cycles: int) -> None:
                coming = islice(zip(cycle(WHIP), cycle(INGEST)), cycles)

                async def some() -> None:
                    for by_whip, by_ingest in coming:
                        await asyncio.gather(by_whip(url), by_ingest(url))

                await asyncio.gather(*(some() for _ in range(AT_ONCE)))
                while supervisor.status["conversations"] or len(asyncio.all_tasks()) > at_rest:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

            at_rest = len(asyncio.all_tasks())
            await come_and_go(AT_ONCE)  # warms up: threads and their descriptors stay
            before = kept()
            await come_and_go(50)
            assert kept() == before
            assert supervisor.ready
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())

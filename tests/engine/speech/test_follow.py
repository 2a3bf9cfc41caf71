import asyncio
from dataclasses import replace

import numpy as np

from cberl.types import Float32
from engine.speech.follow import Following
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

TURN = Turn(1, "ann", 0.0, 1.0, np.ones(16_000, np.float32), decided_s=1.0, stage="growing")


def test_one_request_a_turn_is_under_way_and_none_is_left_when_it_is_over() -> None:
    async def main() -> None:
        begun: list[Float32] = []
        finished = asyncio.Event()

        async def analyze_turn(pcm: Float32) -> Transcript:
            begun.append(pcm)
            await finished.wait()
            return Transcript("", "en", None, "test")

        async with asyncio.TaskGroup() as tasks:
            under_way: list[asyncio.Task[Transcript]] = []

            def begin(pcm: Float32) -> asyncio.Task[Transcript]:
                under_way.append(tasks.create_task(analyze_turn(pcm)))
                return under_way[-1]

            following = Following(begin)
            for _ in range(3):
                following.growing(TURN)
                following.growing(replace(TURN, turn_id=2))
                await asyncio.sleep(0)
            assert len(begun) == 2
            following.over(1)
            following.growing(TURN)  # it was not over
            assert len(under_way) == 3
            following.cancel()
            await asyncio.wait(under_way)
            assert all(task.cancelled() for task in under_way)

    asyncio.run(main())

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from engine.conversation.speculation import Speculation
from engine.media import Track
from engine.speech.turn import Turn

TURN = Turn(1, Track("a", "ann"), 0.0, 1.0, np.ones(16_000, np.float32), decided_s=1.2, stage="provisional")
FINAL = replace(TURN, pcm=TURN.pcm.copy(), decided_s=1.5, stage="final")


def with_guesses(use: Callable[[Speculation[Turn], list[Turn]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        begun: list[Turn] = []

        async def work(turn: Turn) -> Turn:
            begun.append(turn)
            return turn

        async with asyncio.TaskGroup() as tasks:
            await use(Speculation(lambda turn: tasks.create_task(work(turn))), begun)

    asyncio.run(main())


def test_speculative_work_is_kept_when_nothing_more_is_said() -> None:
    async def use(speculation: Speculation[Turn], begun: list[Turn]) -> None:
        speculation.provisional(TURN)
        assert await speculation.final(FINAL) is TURN
        assert begun == [TURN]
        assert (speculation.kept, speculation.discarded) == (1, 0)

    with_guesses(use)


def test_work_starts_again_when_the_final_turn_differs() -> None:
    async def use(speculation: Speculation[Turn], begun: list[Turn]) -> None:
        for other in (replace(FINAL, pcm=FINAL.pcm * 0.5), replace(FINAL, end_s=1.1), replace(FINAL, start_s=0.1)):
            speculation.provisional(TURN)
            assert await speculation.final(other) is other
        speculation.provisional(TURN)
        speculation.resumed(1)
        assert await speculation.final(FINAL) is FINAL
        assert begun[-1] is FINAL  # and what was thrown away before it began never does
        assert TURN not in begun
        assert (speculation.kept, speculation.discarded) == (0, 4)

    with_guesses(use)


def test_speculative_work_is_cancelled_when_the_source_leaves() -> None:
    async def use(speculation: Speculation[Turn], begun: list[Turn]) -> None:
        speculation.provisional(TURN)
        speculation.cancel()
        await asyncio.sleep(0)
        assert begun == []
        assert await speculation.final(FINAL) is FINAL

    with_guesses(use)

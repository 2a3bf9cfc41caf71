"""What a conversation makes of its publishers' clocks, which are never quite right."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from engine.events import EmotionEvent
from engine.media import AudioChunk, PullSource
from testing.scripted_talk import Together, arriving, chunks, emotions, now, quiet, running, talk, turn

HOUR_S = 3600.0
SAID = np.concatenate([quiet(0.3), turn(16)])


@pytest.mark.parametrize(("passed_s", "counted_s"), [(HOUR_S, HOUR_S * 1.01), (HOUR_S, 10.0)], ids=["fast", "stalled"])
def test_lag_is_since_the_end_of_a_turn_arrived_whatever_the_senders_clock_says(
    passed_s: float, counted_s: float
) -> None:
    """One turn an hour ago, one now. By the sender's clock more has passed in between, or next to nothing."""

    async def main() -> tuple[EmotionEvent, float, float]:
        async with running() as supervisor:
            begun = now()
            earlier = arriving(chunks(np.concatenate([SAID, quiet(1.0)]), text="so gross"), begun - passed_s)
            later = arriving(chunks(np.concatenate([SAID, quiet(1.0)]), text="so gross", at_s=counted_s), begun)
            yielded: dict[float, float] = {}

            async def source() -> AsyncIterator[AudioChunk]:
                for chunk in [*earlier, *later]:
                    await asyncio.sleep(max(0.0, chunk.arrived_at - now()))
                    yielded[chunk.end_s] = now() - chunk.arrived_at
                    yield chunk

            *_, event = emotions(await talk(supervisor, PullSource(source())))
            decided_s = event.end_s + event.timings_ms["turn"] / 1e3
            least_s = yielded[min(end_s for end_s in yielded if end_s >= decided_s)]
            return event, least_s, now() - begun - (decided_s - counted_s)

    event, least_s, most_s = asyncio.run(main())
    assert event.start_s == pytest.approx(counted_s + 0.4, abs=0.15)
    assert 0 <= least_s <= event.lag_s + 0.1 <= most_s + 0.2
    assert most_s < 30.0  # else this says nothing
    assert event.timings_ms["after_speech"] == pytest.approx(event.lag_s * 1e3 + event.timings_ms["turn"], abs=150)


def test_two_clocks_that_drift_apart_still_tell_who_ended_first() -> None:
    """Maya's is one percent fast. After a minute both speak, and she is done before him."""
    wait_s = 60.0
    maya = np.concatenate([quiet(wait_s * 1.01), SAID, quiet(2.5)])
    tom = np.concatenate([quiet(wait_s + 0.3), SAID, quiet(2.2)])

    async def main() -> list[EmotionEvent]:
        async with running() as supervisor:
            at = now()
            fast, exact = chunks(maya, text="hers"), chunks(tom, "tom", text="his")
            together = Together(arriving(fast, at, speed=1.01), arriving(exact, at + 0.01))
            return emotions(await talk(supervisor, *together.sources()))

    hers, his = asyncio.run(main())
    assert (hers.text, his.text) == ("hers", "his")
    assert 0.0 < his.end_s - hers.end_s == pytest.approx(0.3, abs=0.3)

"""What comes out while people speak, and in which order."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from engine.media import AudioChunk, PullSource
from engine.speech.vad import WINDOW
from testing.scripted_talk import Together, arriving, chunks, emotions, idle, now, quiet, running, talk, turn

WINDOW_S = WINDOW / 16_000


def test_interim_events_come_at_a_steady_interval_and_none_after_the_final_one() -> None:
    speech = np.concatenate([quiet(0.5), turn(20), quiet(1.0)])  # a turn without a pause

    async def unhurried(media: list[AudioChunk]) -> AsyncIterator[AudioChunk]:
        """As in life, where an interim event is long out when the next one is due."""
        for chunk in media:
            while not idle():  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.001)
            yield chunk

    async def main() -> list[object]:
        async with running(interim_ms=500) as supervisor:
            return await talk(
                supervisor, PullSource(unhurried(arriving(chunks(speech, text="please forgive me"), now())))
            )

    *interims, final = emotions(asyncio.run(main()))
    assert [event.status for event in interims] == ["interim"] * len(interims)
    assert len(interims) == int((final.end_s - final.start_s) / 0.5) >= 6
    for n, event in enumerate(interims, 1):
        assert event.end_s - final.start_s == pytest.approx(n * 0.5, abs=0.2)  # of a pause, the next word tells
        assert (event.utterance, event.speaker, event.text) == (final.utterance, "maya", None)
    paces = np.diff([event.end_s for event in interims])
    assert np.median(paces) == pytest.approx(0.5, abs=WINDOW_S)
    assert (final.status, final.text) == ("final", "please forgive me")


def test_overlapping_turns_come_in_the_order_of_their_ends_and_back_channels_are_marked() -> None:
    """Tom speaks, and is done, while Maya does; then Maya goes on, and he says that he listens."""
    maya = np.concatenate([quiet(0.5), turn(13), quiet(1.0), turn(17), quiet(1.5)])
    tom = np.concatenate([quiet(1.5), turn(14)[: round(1.6 * 16_000)], quiet(3.5), turn(4)[: round(0.9 * 16_000)]])
    tom = np.concatenate([tom, quiet((len(maya) - len(tom)) / 16_000)])

    async def main() -> list[object]:
        async with running() as supervisor:
            at = now()
            said = chunks(maya[: 5 * 16_000], text="please forgive me")
            said += chunks(maya[5 * 16_000 :], text="i am afraid to sleep there", at_s=5.0)
            meant = chunks(tom[: 5 * 16_000], "tom", text="where will you live")
            meant += chunks(tom[5 * 16_000 :], "tom", text="mm-hm", at_s=5.0)
            together = Together(arriving(said, at), arriving(meant, at))
            return await talk(supervisor, *together.sources())

    events = emotions(asyncio.run(main()))
    assert [(event.speaker, event.text, event.backchannel) for event in events] == [
        ("tom", "where will you live", False),
        ("maya", "please forgive me", False),
        ("tom", "mm-hm", True),
        ("maya", "i am afraid to sleep there", False),
    ]
    assert events[1].start_s < events[0].start_s < events[0].end_s < events[1].end_s
    ends = [event.end_s for event in events]
    assert ends == sorted(ends)

"""A session whose work is slow: what it leaves out, what it never does, and how it comes back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine.conversation.monitor
import engine.conversation.turn_analysis
import engine.runtime.load_shedding
from cberl.encoders.text import TextInput
from cberl.types import Float32
from engine.conversation.turn_analysis import TurnAnalysis, analyze_turn
from engine.delivery.wire import decode
from engine.errors import RefusedError
from engine.events import Event, SessionStats
from engine.media import AudioChunk, PullSource, VideoFrame
from engine.runtime.worker import Worker
from engine.server.supervisor import Supervisor
from engine.speech.turn import Turn
from testing.scripted_talk import Source, arriving, chunks, emotions, idle, now, quiet, running, talk, turn

TURNS = (1, 3, 5, 7)


def media(turns: int) -> list[AudioChunk]:
    """Each piece with a picture."""
    found: list[AudioChunk] = []
    for number in TURNS[:turns]:
        at_s = found[-1].end_s if found else 0.0
        found += chunks(np.concatenate([quiet(0.3), turn(number), quiet(0.8)]), text=f"turn {number}", at_s=at_s)
    black = np.zeros((8, 8, 3), np.uint8)
    return [replace(it, frames=(VideoFrame(it.track, it.start_s, black),)) for it in found]


def test_stats_report_lag_and_dropped_chunks() -> None:
    async def main() -> list[SessionStats]:
        async with running(stats_s=0.05) as supervisor:
            subscription = supervisor.hub.subscribe("talk", with_snapshot=False)
            told = asyncio.Event()

            class Waiting(Source):
                async def __aiter__(self) -> AsyncIterator[AudioChunk]:
                    async for chunk in super().__aiter__():
                        yield chunk
                    await told.wait()

            async def listen() -> list[SessionStats]:
                found: list[SessionStats] = []
                async for _, text in subscription:
                    message = decode(text)[1]
                    if isinstance(message, SessionStats):
                        found.append(message)
                        if len(found) == 3:
                            told.set()
                return found

            async with asyncio.TaskGroup() as tasks:
                heard = tasks.create_task(listen())
                await supervisor.join("talk", Waiting(arriving(chunks(quiet(0.5)), now()), dropped=7), live=True)
                subscription.end("done")
            return heard.result()

    stats = asyncio.run(main())
    assert len(stats) >= 3
    for one in stats:
        assert (one.conversation, one.dropped_chunks, one.dropped_events) == ("talk", 7, 0)
        assert 0.0 <= one.lag_s < 30.0
    assert stats[-1].lag_s == 0.0  # all that came is done, and silence makes nobody late


def test_load_is_shed_level_by_level_and_no_final_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ladder in a fiftieth of the time. Words are encoded only when the test lets it."""
    monkeypatch.setattr(
        engine.runtime.load_shedding, "LAG_S", tuple(lag_s / 50 for lag_s in engine.runtime.load_shedding.LAG_S)
    )
    monkeypatch.setattr(engine.runtime.load_shedding, "CALM_S", engine.runtime.load_shedding.CALM_S / 50)
    monkeypatch.setattr(engine.conversation.monitor, "OBSERVE_S", 0.02)
    free = threading.Event()
    pictures: list[int] = []

    async def watched(turn: Turn, *rest: Any) -> TurnAnalysis:
        if turn.stage == "final" and turn.speaker == "maya":
            pictures.append(len(turn.frames))
        return await analyze_turn(turn, *rest)

    monkeypatch.setattr(engine.conversation.turn_analysis, "analyze_turn", watched)

    async def main() -> list[list[Event]]:
        async with running(interim_ms=300) as supervisor:
            encode = supervisor.models.encode_text._run

            def slow(words: list[TextInput]) -> list[Float32]:
                assert free.wait(200)
                return encode(words)

            async with Worker(slow, name="slow") as worker:
                supervisor.models = replace(supervisor.models, encode_text=worker)
                late = asyncio.create_task(talk(supervisor, PullSource(as_in_life(supervisor)), conversation="late"))
                await load_level(supervisor, engine.runtime.load_shedding.FULL)
                other = asyncio.create_task(supervisor.join("other", PullSource(one_turn()), live=True))
                await until(lambda: supervisor.load.refusal() is not None)
                with pytest.raises(RefusedError, match="s behind live: try again"):
                    await supervisor.join("new", Source(media(2)), live=True)
                await until(lambda: len(pictures) == len(TURNS))
                free.set()
                told = await late
                await other
                await until(lambda: supervisor.load.refusal() is None)
                return [told, await talk(supervisor, PullSource(unhurried()), conversation="quick")]

    late, quick = (emotions(events) for events in asyncio.run(main()))
    for events in (late, quick):
        assert [event.text for event in events if event.status == "final"] == [f"turn {number}" for number in TURNS]
    slowly, soon = ({event.utterance[-1] for event in events if event.status == "interim"} for events in (late, quick))
    assert slowly <= {"1"}
    assert soon == {"1", "2", "3", "4"}
    few, all_of_them = pictures[1 : len(TURNS)], pictures[len(TURNS) + 1 :]
    assert sum(few) == pytest.approx(sum(all_of_them) / 3, abs=len(few))


async def as_in_life(supervisor: Supervisor) -> AsyncIterator[AudioChunk]:
    """The first turn when it is spoken, and what follows when the engine is far behind."""
    first_s = media(1)[-1].end_s
    for chunk in arriving(media(len(TURNS)), now()):
        if chunk.end_s <= first_s:
            await asyncio.sleep(chunk.arrived_at - now())
        else:
            await load_level(supervisor, engine.runtime.load_shedding.FULL)
        yield chunk


async def unhurried() -> AsyncIterator[AudioChunk]:
    """None of it has to wait, and no interim event meets other work."""
    for chunk in arriving(media(len(TURNS)), now() + 60):
        await until(idle)
        yield chunk


async def one_turn() -> AsyncIterator[AudioChunk]:
    """Of another conversation, which was accepted although the first is far behind."""
    for chunk in arriving(chunks(np.concatenate([turn(2), quiet(0.8)]), "tom", text="turn 2"), now()):
        yield chunk


async def load_level(supervisor: Supervisor, wanted: int) -> None:
    """Until a conversation has this level."""
    await until(lambda: any(load.level == wanted for load in supervisor.load._conversations.values()))


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0.002)

"""A publisher who comes back after the engine was killed or stopped continues with the same graph."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from engine.disclosure import bundled_text
from testing.live_engine import FIRST, SECOND, Message, assert_same, emotions, publish, stretch, ws
from testing.serving import Served, served


def finals_of(server: Served, conversation: str, part: tuple[float, float]) -> list[Message]:
    """Without the media time, which depends on when the publisher came back."""
    events = emotions(asyncio.run(publish(server.url, conversation, stretch(*part))))
    return [event | {"start_s": 0.0, "end_s": 0.0} for event in events]


async def replayed(server: Served, conversation: str) -> list[Message]:
    """A snapshot, and the events from the first to the fifth final one."""
    messages: list[Message] = []
    async with ws(server.url, f"/events?conversation={conversation}&resume_from_seq=0") as client:
        while len(emotions(messages)) < 5:
            messages.append(json.loads(await client.recv()))
    return messages


def stop(server: Served, number: signal.Signals) -> None:
    server.assert_calm()
    server.process.send_signal(number)
    server.process.wait()


@pytest.mark.timeout(400)
def test_the_graph_continues_after_the_engine_was_killed_or_stopped(tmp_path: Path) -> None:
    flags = ("--event-log", str(tmp_path / "log"), "--keep-text", "--rejoin-grace-s", "120", "--because")
    with served(tmp_path, *flags) as server:
        finals_of(server, "whole", FIRST)
        uninterrupted = finals_of(server, "whole", SECOND)
        fresh = finals_of(server, "fresh", SECOND)
        before = {event["utterance"] for event in finals_of(server, "killed", FIRST)}
        stop(server, signal.SIGKILL)
    assert [event["probabilities"] for event in fresh] != [event["probabilities"] for event in uninterrupted]
    with served(tmp_path, *flags) as server:
        continued = finals_of(server, "killed", SECOND)
        assert_same(continued, uninterrupted)
        assert {it["utterance"] for it in continued[0]["because"]} <= before
        finals_of(server, "stopped", FIRST)
        stop(server, signal.SIGTERM)
    with served(tmp_path, *flags) as server:
        assert_same(finals_of(server, "stopped", SECOND), uninterrupted)
        stop(server, signal.SIGKILL)


@pytest.mark.timeout(400)
def test_without_keep_text_the_graph_continues_and_the_words_of_earlier_turns_are_lost(tmp_path: Path) -> None:
    """The words are not on sockets either, here; what is recognised does not depend on that."""
    log = tmp_path / "log"
    flags = ("--event-log", str(log), "--rejoin-grace-s", "120", "--no-socket-text", "--disclosure-locale", "de-AT")
    with served(tmp_path, *flags) as server:
        finals_of(server, "whole", FIRST)
        uninterrupted = finals_of(server, "whole", SECOND)
        fresh = finals_of(server, "fresh", SECOND)
        before = asyncio.run(publish(server.url, "killed", stretch(*FIRST)))
        stop(server, signal.SIGKILL)
    (disclosure,) = [message for message in before if message["type"] == "disclosure"]
    assert (disclosure["locale"], disclosure["text"]) == ("de-AT", bundled_text("de"))
    assert {event["text"] for event in [*emotions(before), *uninterrupted]} == {None}
    with served(tmp_path, *flags) as server:
        continued = finals_of(server, "killed", SECOND)
        logged = asyncio.run(replayed(server, "killed"))
        stop(server, signal.SIGKILL)
    names = [[event["utterance"].rpartition("/")[2] for event in events] for events in (continued, uninterrupted)]
    assert names[0] == names[1]  # turns are numbered on
    probabilities = [event["probabilities"] for event in continued]
    assert probabilities != [event["probabilities"] for event in fresh]  # without the graph
    assert probabilities != [event["probabilities"] for event in uninterrupted]  # with the words of earlier turns
    assert next(it["text"] for it in logged if it["type"] == "disclosure") == bundled_text("de")  # no transcript
    assert {event["text"] for event in emotions(logged)} == {None}

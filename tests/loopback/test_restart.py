"""A publisher who comes back after the engine was killed or stopped continues with the same graph."""

import asyncio
import signal
from pathlib import Path

import pytest

from testing.live_engine import FIRST, SECOND, Message, assert_same, emotions, publish, stretch
from testing.serving import Served, served


def finals_of(server: Served, conversation: str, part: tuple[float, float]) -> list[Message]:
    """Without the media time, which depends on when the publisher came back."""
    events = emotions(asyncio.run(publish(server.url, conversation, stretch(*part))))
    return [event | {"start_s": 0.0, "end_s": 0.0} for event in events]


def stop(server: Served, number: signal.Signals) -> None:
    server.assert_calm()
    server.process.send_signal(number)
    server.process.wait()


@pytest.mark.timeout(400)
def test_the_graph_continues_after_the_engine_was_killed_or_stopped(tmp_path: Path) -> None:
    flags = ("--event-log", str(tmp_path / "log"), "--keep-text", "--rejoin-grace-s", "120")
    with served(tmp_path, *flags) as server:
        finals_of(server, "whole", FIRST)
        uninterrupted = finals_of(server, "whole", SECOND)
        fresh = finals_of(server, "fresh", SECOND)
        finals_of(server, "killed", FIRST)
        stop(server, signal.SIGKILL)
    assert [event["probabilities"] for event in fresh] != [event["probabilities"] for event in uninterrupted]
    with served(tmp_path, *flags) as server:
        assert_same(finals_of(server, "killed", SECOND), uninterrupted)
        finals_of(server, "stopped", FIRST)
        stop(server, signal.SIGTERM)
    with served(tmp_path, *flags) as server:
        assert_same(finals_of(server, "stopped", SECOND), uninterrupted)
        stop(server, signal.SIGKILL)

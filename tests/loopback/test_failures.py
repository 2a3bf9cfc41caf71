"""A failure of one publisher is reported to it, and does not affect another publisher in the same process."""

import asyncio
import json
import struct
from dataclasses import replace

import httpx
import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from engine.conversation.classifier import GraphRequest, GraphResult, run_graph
from engine.runtime.worker import Worker
from engine.speech.vad import VadRequest, VadResult
from testing.live_engine import (
    END,
    FIRST,
    Message,
    alone,
    assert_same,
    demo,
    emotions,
    frames,
    publish,
    rest,
    running,
    send,
    start,
    stretch,
    until,
    ws,
)


def test_a_session_that_fails_is_reported_and_another_continues(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[list[Message], list[Message]]:
        async with running() as (supervisor, url), asyncio.TaskGroup() as tasks:

            def fragile(requests: list[GraphRequest]) -> list[GraphResult]:
                if any(request.utterance.speaker == "mallory" for request in requests):
                    raise RuntimeError("not her")
                return run_graph(supervisor.models.checkpoint, requests)

            async with Worker(fragile, name="fragile") as graph:
                supervisor.models = replace(supervisor.models, graph=graph)
                good = tasks.create_task(publish(url, "good", stretch(*FIRST)))
                bad = tasks.create_task(received_by_publisher(url, "bad", endless_speech(), "mallory"))
                return await good, await bad

    good, bad = asyncio.run(main())
    assert_same(emotions(good), emotions(alone(FIRST)[0]))
    assert good[-1]["type"] == "session.ended"
    wanted = {"type": "error", "code": "failed", "message": "bad has failed; start it again", "fatal": True}
    assert bad[-1] == wanted
    assert emotions(bad) == []
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["engine.server.supervisor"]


def endless_speech() -> list[bytes]:
    """Six seconds of speech without a pause, and a second of silence."""
    tom = demo()[1]
    speech = tom[round(12.4 * SAMPLE_RATE) : round(14.2 * SAMPLE_RATE)]
    return frames(np.concatenate([speech, speech, speech, np.zeros(SAMPLE_RATE, np.float32)]))


async def received_by_publisher(url: str, conversation: str, media: list[bytes], *speakers: str) -> list[Message]:
    """All messages to a publisher that sends this and then keeps its socket open."""
    async with ws(url, f"/ingest?conversation={conversation}") as client:
        await client.send(start(*speakers))
        await send(client, media)
        return await rest(client)


def test_a_publisher_whose_audio_cannot_be_processed_is_informed(caplog: pytest.LogCaptureFixture) -> None:
    def fail(requests: list[VadRequest]) -> list[VadResult]:
        raise ArithmeticError("no number")

    async def main() -> list[Message]:
        async with Worker(fail, name="failing") as vad, running() as (supervisor, url):
            supervisor.models = replace(supervisor.models, vad=vad)
            received = await received_by_publisher(url, "bad", stretch(0.0, 0.5))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                assert (await http.get("/readyz")).status_code == 200
                supervisor.models.hangs.began("vad", 20.0, essential=True)
                assert (await http.get("/readyz")).status_code == 503
            return received

    last = asyncio.run(main())[-1]
    assert (last["type"], last["code"], last["fatal"]) == ("error", "failed", True)
    errors = [record.name for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["engine.server.running_conversation", "engine.runtime.hangs"]


def test_bad_messages_of_one_do_not_disturb_another() -> None:
    malformed = [
        "{",
        json.dumps({"type": "session.start", "tracks": []}),
        b"\x01",
        b"\x01\x07audio-9" + struct.pack("<d", 0.0),
        b"\x01\x07audio-1" + struct.pack("<d", float("nan")),
        b"\xff" * 4_000,
    ]

    async def main() -> tuple[list[Message], list[Message]]:
        async with running() as (_, url), ws(url, "/ingest?conversation=bad") as bad, asyncio.TaskGroup() as tasks:
            good = tasks.create_task(publish(url, "good", stretch(*FIRST)))
            await bad.send(start("mallory"))
            for message in malformed * 20:
                await bad.send(message)
                await until(bad, "error")
            assert not good.done()
            await bad.send(END)
            return await good, await rest(bad)

    good, bad = asyncio.run(main())
    assert_same(emotions(good), emotions(alone(FIRST)[0]))
    assert "error" not in [message["type"] for message in good]
    assert bad[-1]["type"] == "session.ended"


def test_shutdown_while_publishing_ends_cleanly() -> None:
    """In the middle of turn 2: its event is still published, sockets close, and no task is left."""

    async def main() -> None:
        async with (
            running() as (supervisor, url),
            ws(url, "/events?conversation=demo") as watcher,
            ws(url, "/ingest?conversation=demo") as client,
        ):
            await client.send(start())
            await send(client, stretch(0.0, 5.5))
            await until(watcher, "emotion")
            server = next(task for task in asyncio.all_tasks() if task.get_name() == "the server")
            server.cancel()
            await asyncio.gather(rest(client), rest(watcher), asyncio.wait([server]))
            assert client.close_code == watcher.close_code == 1012
        states = {state.speaker: state for state in supervisor.hub.snapshot("demo").speakers}
        assert states["tom"].current is not None
        assert str(states["tom"].current.text).lower().startswith("two letters")
        assert not supervisor.ready
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_shutdown_takes_at_most_the_documented_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that would take far longer is abandoned, without a traceback in the log."""
    monkeypatch.setattr("engine.server.serve.DRAIN_S", 1)

    async def main() -> None:
        async with running() as (_, url), ws(url, "/ingest?conversation=demo") as client:
            await client.send(start())
            await send(client, stretch(0.0, 15.0))
            server = next(task for task in asyncio.all_tasks() if task.get_name() == "the server")
            server.cancel()
            await asyncio.gather(rest(client), asyncio.wait([server]))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert [record.message for record in caplog.records if record.exc_info] == []

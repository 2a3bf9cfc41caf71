"""A publisher whose session continues on another socket."""

import asyncio
import json

import pytest

from testing.counting import END, MIC, frame, rest, running, until, ws

START = json.dumps({"type": "session.start", "tracks": [MIC], "resumable": True})
INGEST = "/ingest?conversation=demo"


def resume(key: str) -> str:
    return json.dumps({"type": "session.resume", "resume": key})


def test_a_session_continues_while_its_old_socket_is_still_open() -> None:
    """As with a client whose address has changed: the engine has not noticed yet."""

    async def main() -> None:
        async with running() as (engine, url), ws(url, INGEST) as old:
            await old.send(START)
            key = (await until(old, "session.started"))["resume"]
            for number in range(3):
                await old.send(frame(5, at_s=0.1 * number, seconds=0.1))
            assert (await until(old, "session.received"))["messages"] >= 1
            async with ws(url, INGEST + "&resume_from_seq=0") as new:
                await new.send(resume(key))
                assert (await until(new, "session.started"))["messages"] == 3
                _, code, reason = await rest(old)
                assert (code, reason) == (1000, "resumed on another connection")
                await new.send(frame(5, at_s=0.3, seconds=0.1))
                await new.send(END)
                event = await until(new, "emotion")
                assert (event["start_s"], event["end_s"]) == (0.0, pytest.approx(0.4))
                assert (await until(new, "session.ended"))["received_s"] == pytest.approx(0.4)
            assert engine.heard_s == pytest.approx(0.4)

    asyncio.run(main())


def test_only_a_key_of_this_conversation_continues_a_session_and_only_where_it_is_resumable() -> None:
    async def main() -> None:
        async with running() as (_, url), ws(url, INGEST) as publisher, ws(url, "/ingest?conversation=other") as plain:
            await publisher.send(START)
            key = (await until(publisher, "session.started"))["resume"]
            await plain.send(START.replace("true", "false"))
            assert (await until(plain, "session.started"))["resume"] == ""
            for conversation, wrong in (("demo", key[:-1]), ("other", key), ("other", ""), ("other", "é")):
                async with ws(url, f"/ingest?conversation={conversation}") as stranger:
                    await stranger.send(resume(wrong))
                    assert (await until(stranger, "error"))["code"] == "unknown_session"
                    await stranger.send(resume(key) if conversation == "demo" else START.replace("alice", "bob"))
                    await until(stranger, "session.started")
                    await stranger.send(resume(key))
                    assert (await until(stranger, "error"))["code"] == "already_started"

    asyncio.run(main())


def test_a_publisher_comes_back_for_the_end_that_it_has_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.ingest.publisher_session.CLIENT_CLOSES_S", 0.0)

    async def main() -> None:
        async with running() as (engine, url), ws(url, "/events?conversation=demo") as watcher:
            async with ws(url, INGEST) as lost:
                engine.open.clear()
                await lost.send(START)
                key = (await until(lost, "session.started"))["resume"]
                await lost.send(frame(5, seconds=0.1))
                await lost.send(END)
                await until(watcher, "speaker.joined")
                lost.transport.abort()
            engine.open.set()
            await until(watcher, "speaker.left")
            async with ws(url, INGEST + "&resume_from_seq=0") as back:
                await back.send(resume(key))
                messages, code, _ = await rest(back)  # which the engine closes, because this client does not
            assert [it["type"] for it in messages if it["type"] == "emotion"] == ["emotion"]
            assert (messages[-1]["type"], messages[-1]["received_s"], code) == (
                "session.ended",
                pytest.approx(0.1),
                1000,
            )

    asyncio.run(main())


def test_an_engine_shuts_down_while_it_waits_for_a_lost_publisher() -> None:
    async def main() -> None:
        async with asyncio.timeout(10), running(rejoin_grace_s=600.0) as (_, url), ws(url, INGEST) as publisher:
            await publisher.send(START)
            await until(publisher, "session.started")
            publisher.transport.abort()

    asyncio.run(main())

"""The whole live path: real models, a real server on a free port, real sockets, a real recogniser."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from torchaudio.functional import edit_distance

from cberl.types import SAMPLE_RATE, Float32
from testing.live_engine import (
    END,
    FIRST,
    SCRIPT,
    SECOND,
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


def test_a_conversation_is_recognised_as_it_was_spoken() -> None:
    sent, seen = alone(FIRST)
    events, turns = emotions(sent), [turn for turn in SCRIPT.turns if turn.end_s <= FIRST[1]]
    assert [event["speaker"] for event in events] == [turn.speaker for turn in turns]
    assert len(turns) == 5
    wrong = words = 0
    for event, turn in zip(events, turns, strict=True):
        assert event["start_s"] == pytest.approx(turn.start_s, abs=0.15)
        assert event["end_s"] == pytest.approx(turn.end_s, abs=0.15)
        assert event["status"] == "final"
        assert sum(event["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert event["timings_ms"].keys() == {
            "turn", "transcribe", "describe_audio", "encode", "graph", "after_speech",
        }  # fmt: skip
        said = re.findall(r"[a-z']+", turn.text.lower())
        wrong += edit_distance(said, re.findall(r"[a-z']+", event["text"].lower()))
        words += len(said)
    assert wrong / words < 0.15
    numbers = [message["seq"] for message in sent if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    duration_s = 2 * (FIRST[1] - FIRST[0])  # of both tracks together
    assert sent[-1] == {
        "type": "session.ended", "conversation": "alone", "dropped_chunks": 0, "gaps": 0, "missing_s": 0.0,
        "received_s": pytest.approx(duration_s, abs=0.01),
    }  # fmt: skip


def test_a_subscriber_receives_the_same_events_as_the_publisher() -> None:
    sent, seen = alone(FIRST)
    assert [message["type"] for message in seen[:3]] == ["snapshot", "conversation.started", "disclosure"]
    sequenced = [message for message in sent if "seq" in message]
    assert [message for message in seen if "seq" in message][: len(sequenced)] == sequenced
    assert seen[-1]["seq"] == len(seen) - 1  # no event is missing, and only the snapshot has no number


def test_two_sessions_at_once_do_not_affect_each_other() -> None:
    async def main() -> list[list[Message]]:
        async with running() as (_, url), asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(publish(url, f"at-once-{part[0]}", stretch(*part))) for part in (FIRST, SECOND)]
            await asyncio.wait(both)
        return [task.result() for task in both]

    for messages, part in zip(asyncio.run(main()), (FIRST, SECOND), strict=True):
        assert_same(emotions(messages), emotions(alone(part)[0]))


def test_a_disconnect_ends_the_turn_and_the_conversation_continues_after_a_return() -> None:
    """Disconnected in the middle of turn 3, reconnected for turn 4."""
    seen_by_encoder: list[list[int]] = []

    async def main() -> list[Message]:
        async with running() as (supervisor, url), ws(url, "/events?conversation=demo") as watcher:
            encode = supervisor.models.encode_text

            async def listening(one: Any) -> Float32:
                seen_by_encoder.append(one.ids)
                return await encode(one)

            supervisor.models = replace(supervisor.models, encode_text=listening)  # type: ignore[arg-type]
            async with ws(url, "/ingest?conversation=demo") as client:
                await client.send(start())
                await send(client, stretch(0.0, 10.6))
                await until(client, "emotion")
                client.transport.abort()
            seen = []
            while sum(message["type"] == "speaker.left" for message in seen) < 2:
                seen.append(json.loads(await watcher.recv()))
            async with ws(url, "/ingest?conversation=demo") as client:
                await client.send(start())
                await send(client, stretch(12.0, 15.0))
                await client.send(END)
                await rest(client)
            while seen[-1].get("utterance") != "demo/tom/4":
                seen.append(json.loads(await watcher.recv()))
            words = supervisor.models.text_encoder.prompt.tokenizer.decode(seen_by_encoder[-1])
            assert "mail come for me today" in words
            assert "this one is from" in words
            return seen

    seen = asyncio.run(main())
    events = emotions(seen)
    assert [event["utterance"] for event in events] == ["demo/maya/1", "demo/tom/2", "demo/maya/3", "demo/tom/4"]
    assert events[2]["text"].lower().startswith("wait, this one")
    assert events[3]["start_s"] > events[2]["end_s"]
    assert [message["seq"] for message in seen[1:]] == list(range(1, len(seen)))
    assert "conversation.ended" not in [message["type"] for message in seen]


def test_two_publishers_share_one_conversation_and_its_clock() -> None:
    """Tom joins when Maya has spoken; his own media time starts at 0. A second Maya is refused."""
    maya, tom = demo()[0, : round(3.7 * SAMPLE_RATE)], demo()[1, round(3.5 * SAMPLE_RATE) : round(7.5 * SAMPLE_RATE)]

    async def main() -> tuple[list[Message], list[Message], list[Message]]:
        async with (
            running() as (_, url),
            ws(url, "/ingest?conversation=demo") as first,
            ws(url, "/ingest?conversation=demo") as second,
            ws(url, "/ingest?conversation=demo") as third,
        ):
            await first.send(start("maya"))
            await send(first, frames(maya))
            heard = [await until(first, "emotion")]
            await third.send(start("maya"))
            await send(third, frames(maya))
            turned_away = await rest(third)
            await second.send(start("tom"))
            await send(second, frames(tom))
            heard.append(await until(first, "emotion"))
            await second.send(END)
            also_heard = emotions(await rest(second))
            return heard, also_heard, turned_away

    heard, also_heard, turned_away = asyncio.run(main())
    assert [event["utterance"] for event in heard] == ["demo/maya/1", "demo/tom/2"]
    assert also_heard == heard
    assert heard[1]["text"].lower().startswith("two letters came for you")
    assert heard[0]["end_s"] < heard[1]["start_s"] < heard[1]["end_s"]
    assert 0 <= heard[1]["lag_s"] < 60
    assert (turned_away[-1]["code"], turned_away[-1]["fatal"]) == ("speaker_taken", True)


def test_after_the_grace_period_a_conversation_starts_again() -> None:
    async def main() -> list[Message]:
        async with running(rejoin_grace_s=0) as (_, url), ws(url, "/events?conversation=demo") as watcher:
            await publish(url, "demo", stretch(0.0, 3.5))
            await until(watcher, "conversation.ended")
            return await publish(url, "demo", stretch(0.0, 3.5))

    messages = asyncio.run(main())
    assert [event["utterance"] for event in emotions(messages)] == ["demo/maya/1"]
    assert min(message["seq"] for message in messages if "seq" in message) > 1


def test_a_conversation_that_is_only_kept_makes_room_for_a_new_one() -> None:
    async def main() -> dict[str, bool]:
        async with running(rejoin_grace_s=600, max_sessions=2, max_sessions_per_client=2) as (supervisor, url):
            for name in ("first", "second", "third"):
                async with ws(url, f"/events?conversation={name}") as watcher:
                    sent = await publish(url, name, stretch(0.0, 0.5))
                    assert sent[-1]["type"] == "session.ended"
                    await until(watcher, "speaker.left")
            async with ws(url, "/ingest?conversation=second") as stays:
                await stays.send(start())
                await send(stays, stretch(0.0, 0.5))
                await until(stays, "speaker.joined")
                await publish(url, "fourth", stretch(0.0, 0.5))
                return {info.id: info.active for info in supervisor.hub.conversations()}

    assert asyncio.run(main()) == {"first": False, "second": True, "third": False, "fourth": True}

"""What may not be analysed is heard by no model, and what may not be stored is in no file and no log."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine.runtime.worker import Worker
from testing.live_engine import END, FIRST, Message, emotions, frames, publish, rest, running, send, start, stretch, ws
from testing.live_engine import demo as demo_audio
from testing.serving import served

SECONDS = 6
CAPTION = {"type": "caption", "track": "audio-1", "start_s": 1, "end_s": 2, "text": "What nobody may read."}


def session(*analyse: str) -> str:
    message = json.loads(start())
    for track, how in zip(message["tracks"], analyse, strict=True):
        track["analyse"] = how
    return json.dumps(message)


def heard_by_models(first: str) -> tuple[list[Message], Counter[str]]:
    """The messages of a session of six seconds, and how often each model ran."""
    calls: Counter[str] = Counter()

    def counted(name: str, run: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
        def count(requests: list[Any]) -> list[Any]:
            calls[name] += len(requests)
            return run(requests)

        return count

    async def main() -> list[Message]:
        async with running() as (supervisor, url):
            for field in fields(supervisor.models):
                worker = getattr(supervisor.models, field.name)
                if isinstance(worker, Worker):
                    worker._run = counted(field.name, worker._run)
            async with ws(url, "/ingest?conversation=demo") as client, asyncio.TaskGroup() as tasks:
                received = tasks.create_task(rest(client))
                await client.send(first)
                await send(client, frames(*demo_audio()[:, : SECONDS * 16_000]))
                await client.send(json.dumps(CAPTION))
                await client.send(END)
            return received.result()

    return asyncio.run(main()), calls


def test_no_model_hears_a_speaker_who_may_not_be_analysed() -> None:
    messages, calls = heard_by_models(session("none", "none"))
    assert calls == Counter()
    assert messages[-1]["type"] == "session.ended"
    assert not {"emotion", "speaker.joined", "error"} & {message["type"] for message in messages}


def test_of_a_speaker_whose_words_may_be_analysed_no_model_describes_the_voice() -> None:
    messages, calls = heard_by_models(session("text", "text"))
    assert {"vad", "transcribe", "graph"} <= calls.keys()
    assert not {"describe_audio", "describe_visual", "embed_speaker"} & calls.keys()
    finals = emotions(messages)
    assert finals
    assert all((it["modalities"]["audio"], it["modalities"]["visual"]) == (None, None) for it in finals)


def test_consent_may_be_required() -> None:
    async def main() -> list[str]:
        async with running(require_consent=True) as (_, url), ws(url, "/ingest?conversation=demo") as client:
            told = []
            for message in (session("all", "none"), session("none", "none")):
                await client.send(message)
                while (answer := json.loads(await client.recv()))["type"] not in ("error", "session.started"):
                    pass
                told.append(answer.get("code", answer["type"]))
            return told

    assert asyncio.run(main()) == ["consent_required", "session.started"]


def test_no_file_and_no_log_has_a_spoken_word(tmp_path: Path) -> None:
    flags = ("--event-log", str(tmp_path / "events"), "--log-level", "debug")
    with served(tmp_path, *flags) as server:
        messages = asyncio.run(publish(server.url, "demo", stretch(*FIRST)))
        server.assert_calm()
        texts = [event["text"] for event in emotions(messages)]
        assert len(texts) == 5
        words = {word.strip(".,!?").lower() for text in texts for word in text.split()}
        rare = {word.encode() for word in words if len(word) > 6}
        assert len(rare) > 3
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert {"events", "serve.log"} <= {file.name for file in files}
        found = {(file.name, word) for file in files for word in rare if word in file.read_bytes().lower()}
    assert found == set()

"""Publishers that use WebRTC, with real models: speakers, words, and a change of network."""

import asyncio
import json
from collections import Counter

import pytest

import engine.conversation.turn_analysis
from cberl.encoders.conversation import ConversationHistory
from cberl.types import SAMPLE_RATE
from engine.conversation.classifier import EmotionClassifier
from engine.conversation.models import Models
from engine.conversation.turn_analysis import analyze_turn
from engine.conversation.utterance_encoder import UtteranceEncoder
from engine.events import EmotionEvent
from engine.speech.turn import Turn
from testing.churn import cut_off
from testing.live_engine import Message, demo, running, until, ws
from testing.whip_client import Voice, publishing


def part(speaker: int, start_s: float, end_s: float) -> Voice:
    return Voice(demo()[speaker, round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)])


async def uninterrupted(models: Models, turns: list[Turn]) -> list[EmotionEvent]:
    """The same turns, one after the other, in another conversation."""
    utterance_encoder = UtteranceEncoder(
        models.encode_text, ConversationHistory(models.text_encoder.prompt, models.audio_encoder.history())
    )
    inference = EmotionClassifier("again", models.checkpoint, models.graph)
    heard = [await analyze_turn(it, models.transcribe, models.describe_audio, models.describe_visual) for it in turns]
    return [await inference.classify(await utterance_encoder.encode(it)) for it in heard]


@pytest.mark.timeout(300)
def test_a_conversation_continues_when_a_publisher_changes_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maya speaks, Tom answers; Maya's network is lost without notice, she resumes and speaks."""
    turns: dict[int, Turn] = {}  # by id, as they were analysed last: a pause may begin an analysis that is discarded

    async def watched(turn: Turn, *rest: object) -> object:
        turns[turn.turn_id] = turn
        return await analyze_turn(turn, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.conversation.turn_analysis, "analyze_turn", watched)

    async def main() -> tuple[list[Message], list[EmotionEvent]]:
        async with running() as (supervisor, url), ws(url, "/events?conversation=demo&resume_from_seq=0") as watcher:
            heard: list[Message] = []
            async with publishing(url, "demo", "maya", part(0, 0.0, 3.7)) as maya:
                heard.append(await until(watcher, "emotion"))
                async with publishing(url, "demo", "tom", part(1, 3.5, 7.6)) as tom:
                    heard.append(await until(watcher, "emotion"))
                    again = part(0, 7.2, 12.6)
                    async with publishing(url, "demo", "maya", again, resume=maya.token) as back:
                        heard.append(await until(watcher, "emotion"))
                        await asyncio.gather(back.hang_up(), tom.hang_up())
            await until(watcher, "speaker.left")
            return heard, await uninterrupted(supervisor.models, list(turns.values()))

    heard, wanted = asyncio.run(main())
    assert [event["utterance"] for event in heard] == ["demo/maya/1", "demo/tom/2", "demo/maya/3"]
    assert "mail come for me today" in heard[0]["text"].lower()
    assert "by the door" in heard[1]["text"].lower()
    assert heard[0]["end_s"] < heard[1]["start_s"] < heard[1]["end_s"] < heard[2]["start_s"]
    assert heard[0]["seq"] < heard[1]["seq"] < heard[2]["seq"]
    for event, other in zip(heard, wanted, strict=True):
        assert event["probabilities"] == pytest.approx(other.probabilities, abs=1e-4), json.dumps(event)


@pytest.mark.timeout(300)
def test_a_publisher_that_is_cut_off_has_its_turn_published_and_others_continue() -> None:
    """Maya's packets stop in her first words; Tom publishes throughout."""
    words = part(0, 0.0, 2.6)

    async def main() -> list[Message]:
        told: list[Message] = []
        async with (
            running(media_timeout_s=3.0) as (_, url),
            ws(url, "/events?conversation=demo") as watcher,
            publishing(url, "demo", "tom", part(1, 0.0, 7.0)) as tom,
            publishing(url, "demo", "maya", words) as maya,
        ):
            await words.said.wait()
            cut_off(maya.connection)
            while Counter(it["type"] for it in told if it["type"] in ("emotion", "speaker.left")) != {
                "emotion": 2,
                "speaker.left": 1,
            }:
                told.append(json.loads(await watcher.recv()))
            await tom.hang_up()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return told

    finals = [message for message in asyncio.run(main()) if message["type"] == "emotion"]
    assert [event["speaker"] for event in finals] == ["maya", "tom"]  # in the order of their ends
    assert finals[0]["text"].lower().startswith("i'm home")
    assert "by the door" in finals[1]["text"].lower()

"""Events of a conversation as the engine makes them, without models: for tests of pages, and their screenshots."""

import json
import random
from dataclasses import replace
from pathlib import Path

from cberl.labels import EMOTIONS, MELD, valence_arousal
from engine.events import Disclosure, EmotionEvent, Influence, SessionStats, Shift, SpeakerJoined

SCRIPT = Path(__file__).resolve().parents[1] / "engine" / "demo" / "conversation.json"
TIMINGS_MS = {"turn": 412.0, "transcribe": 138.5, "describe_audio": 21.4, "encode": 9.8, "graph": 2.1}
VOCAL = ("laughter", "sigh", "crying", "scream", "panting")
LONG_NAME = "Maximiliane-Alexandra von Hohenstein-Württemberg-Oldenburg 3"  # 60 characters
LONG_SENTENCE = (
    "I never said that, and even if I had, Donaudampfschifffahrtsgesellschaftskapitänskajüte! " * 3 + "Well" + "!" * 29
)


def greeting(conversation: str, speakers: tuple[str, ...] = ("maya", "tom")) -> list[Disclosure | SpeakerJoined]:
    return [Disclosure(conversation), *(SpeakerJoined(conversation, name) for name in speakers)]


def demo_events(conversation: str) -> list[EmotionEvent]:
    """The script of the bundled demo, with the emotions that its author meant."""
    turns = json.loads(SCRIPT.read_text(encoding="utf-8"))["turns"]
    return spoken(
        conversation, [(it["speaker"], it["text"], it["emotion"], it["start_s"], it["end_s"]) for it in turns]
    )


def many_events(conversation: str, count: int) -> list[EmotionEvent]:
    """Three people, four seconds for each turn."""
    chance = random.Random(7)
    turns = []
    for number in range(count):
        speaker, emotion = chance.choice(("maya", "tom", "ines")), chance.choice(MELD)
        start_s = 4.0 * number
        turns.append((speaker, f"Sentence number {number}.", emotion, start_s, start_s + chance.uniform(0.8, 3.8)))
    return spoken(conversation, turns)


def extreme_events(conversation: str) -> list[EmotionEvent]:
    """A name of 60 characters and a sentence of 300, one of them without a space to break at."""
    assert len(LONG_NAME) == 60
    turns = [(LONG_NAME, LONG_SENTENCE[:300], "anger", 0.0, 9.0), ("tom", "x" * 300, "surprise", 9.5, 12.0)]
    return spoken(conversation, turns)


def spoken(conversation: str, turns: list[tuple[str, str, str, float, float]]) -> list[EmotionEvent]:
    chance = random.Random(3)
    events, before = [], dict[str, EmotionEvent]()
    for number, (speaker, text, emotion, start_s, end_s) in enumerate(turns):
        probabilities = _probabilities(emotion, chance)
        valence, arousal = valence_arousal(probabilities)
        last = before.get(speaker)
        after_ms = chance.gauss(620, 90)
        event = EmotionEvent(
            conversation, f"{conversation}/{speaker}/{number}", speaker, start_s, end_s, text, emotion,
            probabilities[emotion], probabilities, valence, arousal,
            Shift(last.emotion, 1) if last and last.emotion != emotion else None,
            {"text": 1.0, "audio": round(chance.uniform(0.5, 1), 2), "visual": None}, "meld", "starter",
            TIMINGS_MS | {"after_speech": after_ms},
            0.1, uncertain=probabilities[emotion] < 0.45, language="en",
            vocal_events=(VOCAL[number % len(VOCAL)],) if number % 6 == 5 else (),
            because=_influences(events, number),
            modality_weights={"text": round(chance.gauss(2, 1), 2), "audio": round(chance.gauss(0, 0.5), 2)},
        )  # fmt: skip
        if number % 9 == 8:
            event = replace(event, status="corrected", revision=1)
        before[speaker] = event
        events.append(event)
    return events


def _influences(before: list[EmotionEvent], number: int) -> tuple[Influence, ...]:
    """Up to four of the last eight turns, the largest first; some of them were against the emotion."""
    chance = random.Random(number)
    past = before[-8:]
    weights = sorted((chance.uniform(0.02, 1.2) for _ in range(min(4, len(past)))), reverse=True)
    turns = chance.sample(past, len(weights))
    signed = [-weight if chance.random() < 0.3 else weight for weight in weights]
    return tuple(Influence(turn.utterance, round(weight, 4)) for turn, weight in zip(turns, signed, strict=True))


def stats(conversation: str, count: int = 30) -> list[SessionStats]:
    chance = random.Random(5)
    return [SessionStats(conversation, abs(chance.gauss(0.15, 0.1)), max(0, number - 20)) for number in range(count)]


def _probabilities(emotion: str, chance: random.Random) -> dict[str, float]:
    assert emotion in EMOTIONS
    weights = {name: chance.random() ** 3 for name in MELD}
    rest = sum(weight for name, weight in weights.items() if name != emotion)
    sure = chance.uniform(0.35, 0.95)
    shares = {name: (1 - sure) * weight / rest for name, weight in weights.items() if name != emotion}
    return {name: round(sure if name == emotion else shares[name], 4) for name in MELD}

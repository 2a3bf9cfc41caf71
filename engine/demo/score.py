"""How well events match a scripted conversation: word error rate, emotions, latency. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jellyfish import levenshtein_distance

from engine.events import EmotionEvent


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """One turn of the script: speaker, words, times, and the intended emotion."""

    speaker: str
    text: str
    emotion: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Script:
    """The script of a recording: the speakers of its channels, and its turns."""

    speakers: tuple[str, ...]
    turns: tuple[ScriptedTurn, ...]


def read_script(path: Path) -> Script:
    """The JSON that `make_conversation.py` writes."""
    sidecar = json.loads(path.read_text())
    return Script(tuple(sidecar["channels"]), tuple(ScriptedTurn(**turn) for turn in sidecar["turns"]))


@dataclass(frozen=True, slots=True)
class Summary:
    """`after_speech_ms` includes the silence that ended a turn; `after_silence_ms` is the rest. Median and 95 %."""

    turns: int
    wer: float
    agreement: float
    after_speech_ms: dict[str, float]
    after_silence_ms: dict[str, float]
    asr: str

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def summarize(script: Script, events: Sequence[EmotionEvent], asr: str) -> Summary:
    """Raises ValueError where there are no events."""
    if not events:
        raise ValueError("there are no events to score")
    after_speech_ms = [event.timings_ms["after_speech"] for event in events]
    after_silence_ms = [event.timings_ms["after_speech"] - event.timings_ms["turn"] for event in events]
    return Summary(
        turns=len(events),
        wer=round(word_error_rate(script, events), 4),
        agreement=round(agreement(script, events), 4),
        after_speech_ms=_percentiles(after_speech_ms),
        after_silence_ms=_percentiles(after_silence_ms),
        asr=asr,
    )


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def word_error_rate(script: Script, events: Sequence[EmotionEvent]) -> float:
    """Over all words of each speaker, so that it does not depend on where turns were cut."""
    wrong = spoken = 0
    for speaker in script.speakers:
        written = [word for turn in script.turns if turn.speaker == speaker for word in _words(turn.text)]
        said = sorted((event for event in events if event.speaker == speaker), key=lambda event: event.start_s)
        wrong += edit_distance(written, [word for event in said for word in _words(event.text or "")])
        spoken += len(written)
    return wrong / spoken


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Words to insert, delete or replace (Levenshtein)."""
    letters = {word: chr(number) for number, word in enumerate({*left, *right}, start=0x4E00)}
    return levenshtein_distance(*("".join(letters[word] for word in words) for words in (left, right)))


def agreement(script: Script, events: Sequence[EmotionEvent]) -> float:
    """Share of scripted turns with the intended emotion in their event: the speaker's event that overlaps most."""
    hits = 0
    for turn in script.turns:
        event = max(events, key=lambda event, turn=turn: _overlap_s(turn, event))  # type: ignore[misc]
        hits += _overlap_s(turn, event) > 0 and event.emotion == turn.emotion
    return hits / len(script.turns)


def _overlap_s(turn: ScriptedTurn, event: EmotionEvent) -> float:
    if turn.speaker != event.speaker:
        return 0.0
    return max(0.0, min(turn.end_s, event.end_s) - max(turn.start_s, event.start_s))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())

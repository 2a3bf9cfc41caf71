"""Who speaks, when one microphone hears all: voices grouped as they come. Pure."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from engine.messages import EmotionEvent, Float32


@dataclass(frozen=True, slots=True)
class SpeakersConfig:
    """Similarities are cosines between voices. One voice is many in anger and in fear, so a new one must be far off.

    Chosen by `bench/diarization.py` on the parts that it names so.
    """

    same: float = 0.6  # a voice at least as near to a speaker is theirs
    merge: float = 0.8  # two speakers as near to each other are one
    evidence_s: float = 1.0  # speech shorter than this makes no new speaker and teaches nothing
    max_speakers: int = 12
    memory_turns: int = 64  # as far back as turns are relabelled


@dataclass(frozen=True, slots=True)
class Relabel:
    """This earlier turn was somebody else's."""

    turn_id: int
    speaker: int


@dataclass(slots=True, eq=False)
class _Speaker:
    total: Float32  # sum of voices, each times its seconds
    speech_s: float


class OnlineSpeakers:
    """`push` turns in order; get each one's speaker, 1 being who spoke first, and what is known better by now.

    A voice goes to the speaker whose mean it is nearest to, or makes a new one where none is near. Short speech is
    given to the nearest one, but proves nothing. When the means of two speakers have come close, the later one was the
    earlier one all along.
    """

    def __init__(self, config: SpeakersConfig | None = None) -> None:
        self._config = config or SpeakersConfig()
        self._speakers: dict[int, _Speaker] = {}
        self._turns: deque[tuple[int, int]] = deque(maxlen=self._config.memory_turns)  # turn, speaker
        self._named = 0

    def push(self, turn_id: int, voice: Float32, speech_s: float) -> tuple[int, list[Relabel]]:
        """`voice` is float32[d] of length 1."""
        number, similarity = self._nearest(voice)
        enough = speech_s >= self._config.evidence_s
        strange = similarity < self._config.same and enough and len(self._speakers) < self._config.max_speakers
        if number is None or strange:
            number = self._named = self._named + 1
            self._speakers[number] = _Speaker(voice * speech_s, speech_s)
        elif enough:
            known = self._speakers[number]
            known.total = known.total + voice * speech_s
            known.speech_s += speech_s
        self._turns.append((turn_id, number))
        number, relabels = self._merge(number)
        return number, [relabel for relabel in relabels if relabel.turn_id != turn_id]

    def _nearest(self, voice: Float32) -> tuple[int | None, float]:
        found = {number: _cosine(speaker.total, voice) for number, speaker in self._speakers.items()}
        number = max(found, key=found.__getitem__, default=None)
        return number, -1.0 if number is None else found[number]

    def _merge(self, number: int) -> tuple[int, list[Relabel]]:
        """Whose this speaker's turns are now, and which turns that changes."""
        before = list(self._turns)
        while near := self._near(number):
            goes, number = max(number, near), min(number, near)
            gone, kept = self._speakers.pop(goes), self._speakers[number]
            kept.total, kept.speech_s = kept.total + gone.total, kept.speech_s + gone.speech_s
            renamed = [(turn_id, number if speaker == goes else speaker) for turn_id, speaker in self._turns]
            self._turns = deque(renamed, self._config.memory_turns)
        changes = zip(before, self._turns, strict=True)
        return number, [Relabel(turn_id, now) for (turn_id, was), (_, now) in changes if now != was]

    def _near(self, number: int) -> int | None:
        """Another speaker who is this one."""
        mine = self._speakers[number].total
        others = {n: _cosine(mine, it.total) for n, it in self._speakers.items() if n != number}
        nearest = max(others, key=others.__getitem__, default=None)
        return nearest if nearest is not None and others[nearest] >= self._config.merge else None


class Corrections:
    """The last events of a conversation, should it turn out that somebody else spoke. Pure."""

    def __init__(self, memory_turns: int = 64) -> None:
        self._memory_turns = memory_turns
        self._events: dict[int, EmotionEvent] = {}  # by turn, oldest first

    def remember(self, turn_id: int, event: EmotionEvent) -> None:
        """It was published."""
        self._events[turn_id] = event
        if len(self._events) > self._memory_turns:
            self._events.pop(next(iter(self._events)))

    def correct(self, turn_id: int, speaker: str) -> EmotionEvent | None:
        """The same utterance, said by another speaker; None where it is forgotten."""
        if turn_id not in self._events:
            return None
        event = self._events[turn_id]
        corrected = replace(event, speaker=speaker, status="corrected", revision=event.revision + 1)
        self._events[turn_id] = corrected
        return corrected


def _cosine(one: Float32, other: Float32) -> float:
    return float(one @ other / max(1e-9, float(np.linalg.norm(one) * np.linalg.norm(other))))

"""Voices grouped as they come: which of them are one speaker's. Pure; `attribution.py` gives them names."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from cberl.types import Float32

RELABEL_TURNS = 64  # of a conversation, from the latest back, that may still get another speaker


@dataclass(frozen=True, slots=True)
class SpeakersConfig:
    """Similarities are cosines between voices. One voice is many in anger and in fear, so a new one must be far off.

    Chosen by `bench/diarization.py` on the parts that it names so.
    """

    same: float = 0.65  # a voice at least as near to a speaker is theirs
    merge: float = 0.75  # two speakers as near to each other are one
    evidence_s: float = 1.0  # speech shorter than this makes no new speaker and teaches nothing
    max_speakers: int = 12
    memory_turns: int = RELABEL_TURNS  # as far back as turns are relabelled


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

    @property
    def numbers(self) -> frozenset[int]:
        """Of all who are known."""
        return frozenset(self._speakers)

    def guess(self, voice: Float32, speech_s: float) -> int:
        """The speaker that `push` would find. Nothing is remembered."""
        number, strange = self._found(voice, speech_s)
        return self._named + 1 if number is None or strange else number

    def push(self, turn_id: int, voice: Float32, speech_s: float) -> tuple[int, list[Relabel]]:
        """`voice` is float32[d] of length 1."""
        number, strange = self._found(voice, speech_s)
        if number is None or strange:
            number = self._named = self._named + 1
            self._speakers[number] = _Speaker(voice * speech_s, speech_s)
        elif speech_s >= self._config.evidence_s:
            known = self._speakers[number]
            known.total = known.total + voice * speech_s
            known.speech_s += speech_s
        self._turns.append((turn_id, number))
        number, relabels = self._merge(number)
        return number, [relabel for relabel in relabels if relabel.turn_id != turn_id]

    def _found(self, voice: Float32, speech_s: float) -> tuple[int | None, bool]:
        """Who is nearest, and whether this is nevertheless somebody new."""
        found = {number: _cosine(speaker.total, voice) for number, speaker in self._speakers.items()}
        number = max(found, key=found.__getitem__, default=None)
        enough = speech_s >= self._config.evidence_s and len(self._speakers) < self._config.max_speakers
        return number, number is not None and enough and found[number] < self._config.same

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


def _cosine(one: Float32, other: Float32) -> float:
    return float(one @ other / max(1e-9, float(np.linalg.norm(one) * np.linalg.norm(other))))

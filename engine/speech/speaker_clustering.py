"""Online clustering of speaker embeddings. Pure; `conversation/speaker_attribution.py` gives the clusters names."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from cberl.types import Float32

RELABEL_TURNS = 64  # of a conversation, from the latest back, that may still get another speaker


@dataclass(frozen=True, slots=True)
class SpeakersConfig:
    """Cosine similarities. Emotion changes a voice, so only a distant embedding starts a new speaker.

    Chosen with `bench/diarization.py` on the recordings that it marks for this.
    """

    same: float = 0.65  # an embedding at least this similar belongs to the speaker
    merge: float = 0.75  # two speakers at least this similar are merged
    evidence_s: float = 1.0  # shorter turns start no speaker and do not change a mean
    max_speakers: int = 12
    memory_turns: int = RELABEL_TURNS


@dataclass(frozen=True, slots=True)
class Relabel:
    """This earlier turn belongs to another speaker than it was given."""

    turn_id: int
    speaker: int


@dataclass(slots=True, eq=False)
class _Speaker:
    total: Float32  # sum of embeddings, each weighted by its seconds
    speech_s: float


class OnlineSpeakers:
    """`push` turns in order; get the number of each one's speaker, from 1, and the relabelled earlier turns.

    An embedding is given to the speaker with the most similar mean, or starts a new one where none is similar enough.
    Short turns are given to the most similar speaker without changing its mean. When the means of two speakers have
    become similar, they are merged into the earlier one.
    """

    def __init__(self, config: SpeakersConfig | None = None) -> None:
        self._config = config or SpeakersConfig()
        self._speakers: dict[int, _Speaker] = {}
        self._turns: deque[tuple[int, int]] = deque(maxlen=self._config.memory_turns)  # turn, speaker
        self._numbered = 0

    @property
    def numbers(self) -> frozenset[int]:
        """All speakers so far, without merged ones."""
        return frozenset(self._speakers)

    def guess(self, embedding: Float32, speech_s: float) -> int:
        """The speaker that `push` would return. Nothing is remembered."""
        number, is_new = self._found(embedding, speech_s)
        return self._numbered + 1 if number is None or is_new else number

    def push(self, turn_id: int, embedding: Float32, speech_s: float) -> tuple[int, list[Relabel]]:
        """`embedding` is float32[d] of length 1."""
        number, is_new = self._found(embedding, speech_s)
        if number is None or is_new:
            number = self._numbered = self._numbered + 1
            self._speakers[number] = _Speaker(embedding * speech_s, speech_s)
        elif speech_s >= self._config.evidence_s:
            known = self._speakers[number]
            known.total = known.total + embedding * speech_s
            known.speech_s += speech_s
        self._turns.append((turn_id, number))
        number, relabels = self._merge(number)
        return number, [relabel for relabel in relabels if relabel.turn_id != turn_id]

    def _found(self, embedding: Float32, speech_s: float) -> tuple[int | None, bool]:
        """The most similar speaker, and whether this is nevertheless a new one."""
        found = {number: _cosine(speaker.total, embedding) for number, speaker in self._speakers.items()}
        number = max(found, key=found.__getitem__, default=None)
        enough = speech_s >= self._config.evidence_s and len(self._speakers) < self._config.max_speakers
        return number, number is not None and enough and found[number] < self._config.same

    def _merge(self, number: int) -> tuple[int, list[Relabel]]:
        """Merge this speaker with similar ones. Returns the number that is left, and the turns that it changes."""
        before = list(self._turns)
        while near := self._near(number):
            removed, number = max(number, near), min(number, near)
            removed_speaker, kept = self._speakers.pop(removed), self._speakers[number]
            kept.total, kept.speech_s = kept.total + removed_speaker.total, kept.speech_s + removed_speaker.speech_s
            renamed = [(turn_id, number if speaker == removed else speaker) for turn_id, speaker in self._turns]
            self._turns = deque(renamed, self._config.memory_turns)
        changes = zip(before, self._turns, strict=True)
        return number, [Relabel(turn_id, now) for (turn_id, was), (_, now) in changes if now != was]

    def _near(self, number: int) -> int | None:
        """The speaker to merge with this one, if any."""
        mine = self._speakers[number].total
        others = {n: _cosine(mine, it.total) for n, it in self._speakers.items() if n != number}
        nearest = max(others, key=others.__getitem__, default=None)
        return nearest if nearest is not None and others[nearest] >= self._config.merge else None


def _cosine(one: Float32, other: Float32) -> float:
    return float(one @ other / max(1e-9, float(np.linalg.norm(one) * np.linalg.norm(other))))

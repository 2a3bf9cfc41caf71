"""Who speaks, when one microphone hears all: names for its voices, and what to correct. Pure."""

from dataclasses import dataclass, replace

from cberl.types import Float32
from engine.events import EmotionEvent
from engine.speech.speaker_clustering import OnlineSpeakers
from engine.speech.turn import Turn


@dataclass(frozen=True, slots=True)
class Attributed:
    """Whose turn it is. `others`: earlier turns that are somebody else's than was thought. `gone`: who never was."""

    speaker: str
    others: dict[int, str]
    gone: frozenset[str] = frozenset()


class Attribution:
    """The voices of one conversation's shared tracks.

    The first voice of a track has the track's name, "room"; later ones are "room-2", "room-3". Where nobody named the
    track, "speaker-1", they are "speaker-2", "speaker-3".
    """

    def __init__(self) -> None:
        self._speakers: dict[str, OnlineSpeakers] = {}  # by track's speaker

    def guess(self, turn: Turn, voice: Float32, *, named: bool) -> str:
        """What `push` would say now. Nothing is remembered."""
        speakers = self._speakers.get(turn.speaker)
        return _name(turn, speakers.guess(voice, turn.end_s - turn.start_s) if speakers else 1, named)

    def push(self, turn: Turn, voice: Float32, *, named: bool) -> Attributed:
        """The next turn, with its voice as float32[d] of length 1."""
        speakers = self._speakers.setdefault(turn.speaker, OnlineSpeakers())
        before = speakers.numbers
        number, relabels = speakers.push(turn.turn_id, voice, turn.end_s - turn.start_s)
        others = {relabel.turn_id: _name(turn, relabel.speaker, named) for relabel in relabels}
        gone = frozenset(_name(turn, it, named) for it in before - speakers.numbers)
        return Attributed(_name(turn, number, named), others, gone)


class Corrections:
    """The last events of a conversation, should it turn out that somebody else spoke."""

    def __init__(self, memory_turns: int = 64) -> None:
        self._memory_turns = memory_turns
        self._events: dict[int, EmotionEvent] = {}  # by turn, oldest first

    def remember(self, turn_id: int, event: EmotionEvent) -> None:
        """It was published."""
        self._events[turn_id] = event
        if len(self._events) > self._memory_turns:
            self._events.pop(next(iter(self._events)))

    def correct(self, turn_id: int, again: EmotionEvent) -> EmotionEvent | None:
        """The same utterance as it is read now, in a new revision; None where it is forgotten."""
        if turn_id not in self._events:
            return None
        told = self._events[turn_id]
        corrected = replace(
            again,
            utterance=told.utterance,
            timings_ms=told.timings_ms,
            lag_s=told.lag_s,
            backchannel=told.backchannel,
            status="corrected",
            revision=told.revision + 1,
        )
        self._events[turn_id] = corrected
        return corrected


def _name(turn: Turn, number: int, named: bool) -> str:
    if number == 1:
        return turn.speaker
    return f"{turn.speaker if named else turn.speaker.removesuffix('-1')}-{number}"

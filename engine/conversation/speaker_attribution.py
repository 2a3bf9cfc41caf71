"""Which of several speakers on one track spoke: their names, and the corrections that follow. Pure."""

from dataclasses import dataclass, replace

from cberl.recent import RecentDict
from cberl.types import Float32
from engine.events import EmotionEvent
from engine.media import Track
from engine.speech.speaker_clustering import RELABEL_TURNS, OnlineSpeakers
from engine.speech.turn import Turn


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose turn it is. `relabelled`: earlier turns by id that get another speaker. `merged`: names no longer used."""

    speaker: str
    relabelled: dict[int, str]
    merged: frozenset[str] = frozenset()


class SpeakerAttribution:
    """The speakers of one conversation's shared tracks.

    The first speaker on a track has the track's name, "room"; later ones are "room-2", "room-3".
    """

    def __init__(self) -> None:
        self._speakers: RecentDict[str, OnlineSpeakers] = RecentDict()  # by the speaker of the track

    def guess(self, turn: Turn, embedding: Float32) -> str:
        """The speaker that `push` would return now. Nothing is remembered."""
        speakers = self._speakers.get(turn.track.speaker)
        return _name(turn.track, speakers.guess(embedding, turn.duration_s) if speakers else 1)

    def push(self, turn: Turn, embedding: Float32) -> Attribution:
        """The next turn, with its speaker embedding, float32[d] of length 1."""
        speakers = self._speakers[turn.track.speaker] = self._speakers.get(turn.track.speaker) or OnlineSpeakers()
        before = speakers.numbers
        number, relabels = speakers.push(turn.turn_id, embedding, turn.duration_s)
        relabelled = {it.turn_id: _name(turn.track, it.speaker) for it in relabels}
        merged = frozenset(_name(turn.track, it) for it in before - speakers.numbers)
        return Attribution(_name(turn.track, number), relabelled, merged)


class Corrections:
    """The last published events of a conversation, in case one of them has to be corrected."""

    def __init__(self, memory_turns: int = RELABEL_TURNS) -> None:
        self._memory_turns = memory_turns
        self._events: dict[int, EmotionEvent] = {}  # by turn id, oldest first

    def remember(self, turn_id: int, event: EmotionEvent) -> None:
        """The event of this turn was published."""
        self._events[turn_id] = event
        if len(self._events) > self._memory_turns:
            self._events.pop(next(iter(self._events)))

    def correct(self, turn_id: int, again: EmotionEvent) -> EmotionEvent | None:
        """The same utterance as it was recognised now, in a new revision; None if it is no longer remembered."""
        if turn_id not in self._events:
            return None
        published = self._events[turn_id]
        corrected = replace(
            again,
            utterance=published.utterance,
            timings_ms=published.timings_ms,
            lag_s=published.lag_s,
            backchannel=published.backchannel,
            status="corrected",
            revision=published.revision + 1,
        )
        self._events[turn_id] = corrected
        return corrected


def _name(track: Track, number: int) -> str:
    return track.speaker if number == 1 else f"{track.numbered_from or track.speaker}-{number}"

"""When a person's emotion has really changed: what an automation wants to hear of. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from engine.events import EmotionEvent

START = "neutral"  # what everybody is taken for before they have spoken


@dataclass(frozen=True, slots=True)
class ChangeConfig:
    """A new emotion counts at once where it is this sure, else after so many turns of it in a row.

    A person changes at most once in `interval_s`, in media time; what is still true after that counts then.
    """

    confidence: float = 0.6
    turns: int = 2
    interval_s: float = 5.0


@dataclass(slots=True)
class _Person:
    settled: str = START
    candidate: str = START
    in_a_row: int = 0
    changed_at_s: float | None = None


class ChangeDetector:
    """Hysteresis and rate limit, each person by themselves. Feed it every event, in order."""

    def __init__(self, config: ChangeConfig) -> None:
        self._config = config
        self._people: defaultdict[str, dict[str, _Person]] = defaultdict(dict)

    def push(self, event: EmotionEvent) -> str | None:
        """The emotion before, where this event changes it; else None. Only final events count."""
        if event.status != "final":
            return None
        person = self._people[event.conversation].setdefault(event.speaker, _Person())
        person.in_a_row = person.in_a_row + 1 if event.emotion == person.candidate else 1
        person.candidate = event.emotion
        if event.emotion == person.settled or not self._sure(event, person) or self._too_soon(event, person):
            return None
        before, person.settled = person.settled, event.emotion
        person.changed_at_s = event.end_s
        return before

    def forget(self, conversation: str) -> None:
        """It has ended: its people start anew."""
        self._people.pop(conversation, None)

    def _sure(self, event: EmotionEvent, person: _Person) -> bool:
        return event.confidence >= self._config.confidence or person.in_a_row >= self._config.turns

    def _too_soon(self, event: EmotionEvent, person: _Person) -> bool:
        return person.changed_at_s is not None and event.end_s < person.changed_at_s + self._config.interval_s

"""The mood of a place, and when to greet. Pure: no sockets, no clock of its own."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

REMEMBERED = 1000  # ids of events, so that one that is delivered twice counts once


class Mood(StrEnum):
    CALM = "calm"
    BRIGHT = "bright"
    LOW = "low"


GREETINGS = {
    Mood.CALM: "Hello. Let me know if I can help.",
    Mood.BRIGHT: "Good to see you! You are in fine spirits.",
    Mood.LOW: "Hello. Take your time, I am here.",
}


@dataclass(frozen=True, slots=True)
class MoodConfig:
    """A mood begins when the smoothed valence exceeds `enter`, and ends when it falls below `leave`.

    `weight` is the share of the newest utterance, at full confidence. Greetings are at least `pause_s` apart. After
    `absence_s` without an utterance the state is reset, so that the next speaker is greeted.
    """

    enter: float = 0.35
    leave: float = 0.15
    weight: float = 0.5
    pause_s: float = 20.0
    absence_s: float = 120.0


class MoodDecider:
    """Push every event of one place; the result is a mood when it is time to greet."""

    def __init__(self, config: MoodConfig | None = None) -> None:
        self.mood = Mood.CALM
        self.valence = 0.0  # smoothed, -1..1
        self._config = config or MoodConfig()
        self._greeted: Mood | None = None
        self._greeted_at_s = self._last_event_s = float("-inf")
        self._seen: OrderedDict[str, None] = OrderedDict()

    def push(self, event: dict[str, Any], now_s: float) -> Mood | None:
        """`event` is the JSON of an utterance. Historical, interim, corrected and repeated events are ignored."""
        if event.get("historical") or event.get("status") != "final" or self._is_repeated(event["id"]):
            return None
        if now_s - self._last_event_s > self._config.absence_s:
            self.mood, self.valence, self._greeted = Mood.CALM, 0.0, None
        self._last_event_s = now_s
        self.valence += self._config.weight * event["confidence"] * (event["valence"] - self.valence)
        self.mood = self._next()
        if self.mood == self._greeted or now_s - self._greeted_at_s < self._config.pause_s:
            return None
        self._greeted, self._greeted_at_s = self.mood, now_s
        return self.mood

    def _next(self) -> Mood:
        stay = {Mood.BRIGHT: self.valence > self._config.leave, Mood.LOW: self.valence < -self._config.leave}
        if stay.get(self.mood):
            return self.mood
        if abs(self.valence) > self._config.enter:
            return Mood.BRIGHT if self.valence > 0 else Mood.LOW
        return Mood.CALM

    def _is_repeated(self, id_: str) -> bool:
        if id_ in self._seen:
            return True
        self._seen[id_] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

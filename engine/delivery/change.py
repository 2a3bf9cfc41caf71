"""Detects lasting changes of a speaker's emotion, for automations. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from cberl.recent import RecentDict
from engine.config import Settings
from engine.events import ChangeRule, EmotionEvent

START = "neutral"  # the assumed emotion before the first event


def change_rule(settings: Settings) -> ChangeRule:
    return ChangeRule(settings.change_confidence, settings.change_turns, settings.change_interval_s)


@dataclass(slots=True)
class _Speaker:
    settled: str = START
    candidate: str = START
    in_a_row: int = 0
    changed_at_s: float | None = None


class ChangeDetector:
    """Hysteresis and rate limit per speaker. Push every event, in order."""

    def __init__(self, rule: ChangeRule) -> None:
        self._rule = rule
        self._speakers: defaultdict[str, RecentDict[str, _Speaker]] = defaultdict(RecentDict)

    def push(self, event: EmotionEvent) -> str | None:
        """The previous emotion, if this event changes it, else None. Only final events count."""
        if event.status != "final":
            return None
        speakers = self._speakers[event.conversation]
        speaker = speakers[event.speaker] = speakers.get(event.speaker) or _Speaker()
        speaker.in_a_row = speaker.in_a_row + 1 if event.emotion == speaker.candidate else 1
        speaker.candidate = event.emotion
        if event.emotion == speaker.settled or not self._sure(event, speaker) or self._too_soon(event, speaker):
            return None
        before, speaker.settled = speaker.settled, event.emotion
        speaker.changed_at_s = event.end_s
        return before

    def forget(self, conversation: str) -> None:
        """The conversation has ended: discard the state of its speakers."""
        self._speakers.pop(conversation, None)

    def _sure(self, event: EmotionEvent, speaker: _Speaker) -> bool:
        return event.confidence >= self._rule.confidence or speaker.in_a_row >= self._rule.turns

    def _too_soon(self, event: EmotionEvent, speaker: _Speaker) -> bool:
        return speaker.changed_at_s is not None and event.end_s < speaker.changed_at_s + self._rule.interval_s

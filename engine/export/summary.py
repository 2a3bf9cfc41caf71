"""A conversation in a few figures. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

from engine.delivery.change import ChangeDetector
from engine.events import ChangeRule, EmotionEvent

MOMENTS = 3


@dataclass(frozen=True, slots=True)
class SpeakerSummary:
    """`shares`: of the time that they spoke, by emotion, the largest first."""

    speaker: str
    turns: int
    spoken_s: float
    shares: dict[str, float]
    changes: int


@dataclass(frozen=True, slots=True)
class Change:
    """A lasting change of a speaker's emotion, as in `delivery.change`."""

    event: EmotionEvent
    before: str


@dataclass(frozen=True, slots=True)
class Summary:
    """`moments`: the most intense turns, by their time."""

    speakers: tuple[SpeakerSummary, ...]
    changes: tuple[Change, ...]
    moments: tuple[EmotionEvent, ...]


def summarize(events: Sequence[EmotionEvent], rule: ChangeRule | None = None) -> Summary:
    """`events`: the latest revision of every turn of one conversation, by their start."""
    detector = ChangeDetector(rule or ChangeRule())
    # A correction replaces the turn that was final.
    before = [detector.push(replace(event, status="final")) for event in events]
    changes = [Change(event, was) for event, was in zip(events, before, strict=True) if was]
    changed = Counter(change.event.speaker for change in changes)
    names = dict.fromkeys(event.speaker for event in events)
    speakers = tuple(_speaker([it for it in events if it.speaker == name], changed[name]) for name in names)
    sure = [event for event in events if not (event.uncertain or event.backchannel or event.emotion == "neutral")]
    moments = sorted(sorted(sure, key=intensity, reverse=True)[:MOMENTS], key=lambda event: event.start_s)
    return Summary(speakers, tuple(changes), tuple(moments))


def intensity(event: EmotionEvent) -> float:
    """Distance from the middle of valence and arousal, weighted by confidence."""
    return event.confidence * hypot(event.valence, event.arousal)


def _speaker(events: Sequence[EmotionEvent], changes: int) -> SpeakerSummary:
    spoken_s: defaultdict[str, float] = defaultdict(float)
    for event in events:
        spoken_s[event.emotion] += max(0.0, event.end_s - event.start_s)
    total_s = sum(spoken_s.values())
    largest = sorted(spoken_s.items(), key=lambda item: -item[1])
    shares = {name: part_s / total_s if total_s else 0.0 for name, part_s in largest}
    return SpeakerSummary(events[0].speaker, len(events), total_s, shares, changes)

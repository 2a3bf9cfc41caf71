"""What is exported: the turns of a conversation, of each time that it ran."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.delivery.wire import decode
from engine.events import ChangeRule, ConversationStarted, EmotionEvent

_INVALID = re.compile(r"[^ -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, and control characters


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. `json`: its event as it was sent."""

    event: EmotionEvent
    json: str


@dataclass(frozen=True, slots=True)
class ExportedConversation:
    """The turns of one conversation by their start, in their latest revisions.

    `media`: its recording, where known. `session`: which time it ran, from 1. `started_seq`: the number of the event
    with which that began, where it is still there. `change`: what counts as a lasting change.
    """

    name: str
    turns: tuple[Turn, ...]
    media: str = ""
    session: int = 1
    started_seq: int | None = None
    change: ChangeRule = ChangeRule()

    @property
    def events(self) -> tuple[EmotionEvent, ...]:
        return tuple(turn.event for turn in self.turns)

    @property
    def speakers(self) -> tuple[str, ...]:
        """In the order in which they first spoke."""
        return tuple(dict.fromkeys(event.speaker for event in self.events))

    @property
    def end_s(self) -> float:
        """The end of the last turn; 0 where there is none."""
        return max((event.end_s for event in self.events), default=0.0)


def exported_conversation(name: str, messages: Iterable[str], media: str = "") -> ExportedConversation:
    """From the messages of one session of a conversation, as they were sent. Raises as `exported_sessions` does."""
    sessions = exported_sessions(name, messages)
    return replace(sessions[-1], media=media) if sessions else ExportedConversation(name, (), media)


def exported_sessions(name: str, messages: Iterable[str]) -> list[ExportedConversation]:
    """Each time that a conversation ran, in order, from all of its messages, as they were sent.

    Media time and the numbers of utterances begin again with each `conversation.started`. Sessions in which nobody
    spoke are left out, interim events and other notices are ignored. Raises WireError where one is not a message of
    this wire format.
    """
    sessions: list[tuple[int | None, dict[str, Turn]]] = [(None, {})]
    for text in messages:
        seq, event = decode(text)
        if isinstance(event, ConversationStarted):
            sessions.append((seq, {}))
        elif isinstance(event, EmotionEvent) and event.status != "interim":
            latest = sessions[-1][1]
            before = latest.get(event.utterance)
            if before is None or event.revision >= before.event.revision:
                latest[event.utterance] = Turn(event, text)
    spoken = [(seq, _by_start(latest.values())) for seq, latest in sessions if latest]
    return [ExportedConversation(name, turns, "", number, seq) for number, (seq, turns) in enumerate(spoken, 1)]


def _by_start(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: (turn.event.start_s, turn.event.end_s)))


def words(event: EmotionEvent) -> str:
    """What was said, on one line; empty where the words were not recognised or not kept."""
    return _INVALID.sub("", " ".join((event.text or "").split()))


def caption(event: EmotionEvent) -> str:
    """The words; without any, the emotion in brackets, as subtitles show sounds."""
    return words(event) or f"[{event.emotion}]"


@dataclass(frozen=True, slots=True)
class Interval:
    """A turn on the tier of one speaker, in milliseconds."""

    start_ms: int
    end_ms: int
    event: EmotionEvent


def tier(conversation: ExportedConversation, speaker: str) -> list[Interval]:
    """The turns of one speaker without overlaps and of 1 ms at least, as the tiers of annotation tools must be."""
    intervals: list[Interval] = []
    for event in conversation.events:
        if event.speaker == speaker:
            start_ms = max(round(event.start_s * 1e3), intervals[-1].end_ms if intervals else 0)
            intervals.append(Interval(start_ms, max(start_ms + 1, round(event.end_s * 1e3)), event))
    return intervals

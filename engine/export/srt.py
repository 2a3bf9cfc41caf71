"""SubRip (SRT) subtitles. The format has no markup that all players know, so the emotion is part of the text."""

from collections.abc import Sequence

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, words


def to_srt(conversations: Sequence[ExportedConversation]) -> str:
    """One subtitle per turn: `maya [joy]: I'm home.`"""
    (conversation,) = conversations
    cues = (_cue(number, event) for number, event in enumerate(conversation.events, 1))
    return "".join(cues)


def _cue(number: int, event: EmotionEvent) -> str:
    said = f": {spoken}" if (spoken := words(event)) else ""
    start_ms = round(event.start_s * 1e3)
    end_ms = max(start_ms + 1, round(event.end_s * 1e3))
    return f"{number}\n{_clock(start_ms)} --> {_clock(end_ms)}\n{event.speaker} [{event.emotion}]{said}\n\n"


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

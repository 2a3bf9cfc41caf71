"""Praat TextGrid, long format: two interval tiers per speaker, of words and of emotions.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from collections.abc import Callable, Iterator, Sequence

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, Interval, tier, words

Label = Callable[[EmotionEvent], str]
# A speaker's name has no slash, so that no two tiers have the same name.
_TIERS: tuple[tuple[str, Label], ...] = (("{}", words), ("{}/emotion", lambda event: event.emotion))


def to_textgrid(conversations: Sequence[ExportedConversation]) -> str:
    """An interval without a label is one in which the speaker is silent."""
    (conversation,) = conversations
    turns = {speaker: tier(conversation, speaker) for speaker in conversation.speakers}
    end_ms = max((intervals[-1].end_ms for intervals in turns.values()), default=1)
    tiers = [
        _tier(name.format(speaker), _filled(turns[speaker], end_ms), label, end_ms)
        for speaker in turns
        for name, label in _TIERS
    ]
    head = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_s(end_ms)}",
        "tiers? <exists>", f"size = {len(tiers)}", "item []:",
    ]  # fmt: skip
    lines = [line for number, lines in enumerate(tiers, 1) for line in (f"    item [{number}]:", *lines)]
    return "\n".join([*head, *lines, ""])


def _filled(intervals: Sequence[Interval], end_ms: int) -> Iterator[tuple[int, int, EmotionEvent | None]]:
    """All of the time: a tier has no gaps."""
    at_ms = 0
    for it in intervals:
        if it.start_ms > at_ms:
            yield at_ms, it.start_ms, None
        yield it.start_ms, it.end_ms, it.event
        at_ms = it.end_ms
    if end_ms > at_ms:
        yield at_ms, end_ms, None


def _tier(name: str, intervals: Iterator[tuple[int, int, EmotionEvent | None]], label: Label, end_ms: int) -> list[str]:
    filled = list(intervals)
    lines = ['class = "IntervalTier"', f"name = {_quoted(name)}", "xmin = 0", f"xmax = {_s(end_ms)}"]
    lines.append(f"intervals: size = {len(filled)}")
    for number, (start_ms, stop_ms, event) in enumerate(filled, 1):
        text = _quoted(label(event) if event else "")
        lines += [f"intervals [{number}]:"]
        lines += [f"    xmin = {_s(start_ms)}", f"    xmax = {_s(stop_ms)}", f"    text = {text}"]
    return [f"        {line}" for line in lines]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _s(ms: int) -> str:
    return f"{ms / 1e3:.3f}"

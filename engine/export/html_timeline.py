"""The timeline of the HTML report: rows of equal length, each with a lane per speaker who speaks in it."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from math import ceil

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, words

ROWS = 12  # at most, unless that needs longer ones than there are
_ROW_S = (30, 60, 120, 300)  # in more, turns would be too narrow beside the pauses
_LETTER_SHARE = 0.045  # of a row, below which a block is too narrow for its letters on a phone
_CODES = {"sadness": "Sa", "surprise": "Su"}  # one letter is enough for the rest


def timeline(conversation: ExportedConversation) -> str:
    """Blocks are links to their turns."""
    events = conversation.events
    if not events:
        return ""
    row_s = next((it for it in _ROW_S if conversation.end_s <= ROWS * it), _ROW_S[-1])
    rows = ceil(conversation.end_s / row_s) or 1
    drawn = "".join(_row(row * row_s, row_s, events, conversation.speakers) for row in range(rows))
    codes = dict.fromkeys(event.emotion for event in events)
    legend = "".join(
        f'<li><span class="swatch {css_class(name)}" aria-hidden="true">{code(name)}</span>{escaped(name)}</li>'
        for name in codes
    )
    return (
        '<section aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>'
        f'<div class="card"><ul class="legend">{legend}<li class="none">paler: less confident; dashed: uncertain</li>'
        f"</ul>{drawn}</div></section>"
    )


def _row(start_s: float, row_s: float, events: Sequence[EmotionEvent], speakers: Sequence[str]) -> str:
    end_s = start_s + row_s
    here = [event for event in events if event.start_s < end_s and event.end_s > start_s]
    if not here:
        return f'<div class="row silent"><p>{clock(start_s)}–{clock(end_s)}: no speech</p></div>'
    lanes = "".join(_lane(name, start_s, row_s, here) for name in speakers if any(it.speaker == name for it in here))
    ticks = f'<div class="ticks" aria-hidden="true"><span>{clock(start_s)}</span><span>{clock(end_s)}</span></div>'
    return f'<div class="row">{lanes}{ticks}</div>'


def _lane(speaker: str, start_s: float, row_s: float, events: Sequence[EmotionEvent]) -> str:
    blocks = "".join(_blocks(start_s, row_s, [event for event in events if event.speaker == speaker]))
    name = escaped(speaker)
    return (
        f'<div class="lane"><span class="name">{name}</span><svg role="group" aria-label="{name}">{blocks}</svg></div>'
    )


def _blocks(start_s: float, row_s: float, events: Sequence[EmotionEvent]) -> Iterator[str]:
    for event in events:
        left = max(0.0, (event.start_s - start_s) / row_s)
        width = min(1.0, (event.end_s - start_s) / row_s) - left
        wide = (event.end_s - event.start_s) / row_s >= _LETTER_SHARE  # the part in the next row looks alike
        state = " uncertain" if event.uncertain else ""
        said = f": {words(event)}" if words(event) else ""
        title = f"{clock(event.start_s)} {event.speaker}, {event.emotion} {event.confidence:.0%}{state}{said}"
        middle = f'<text x="{left + width / 2:.2%}" y="50%">{code(event.emotion)}</text>'
        letters = middle if width >= _LETTER_SHARE else ""
        opacity = 0.5 * event.confidence if wide else 0.3 + 0.7 * event.confidence
        yield (
            f'<a href="#{identifier(event)}" class="block {css_class(event.emotion)}{state}{" wide" * wide}">'
            f"<title>{escaped(title)}</title>"
            f'<rect x="{left:.2%}" width="{max(width, 0.002):.2%}" y="1" height="24" rx="2" '
            f'fill-opacity="{opacity:.2f}"/>{letters}</a>'
        )


def identifier(event: EmotionEvent) -> str:
    """Of the turn, in the document."""
    return "turn-" + re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found.group()):x}_", event.utterance)


def code(emotion: str) -> str:
    """One or two letters, so that colour is not the only signal."""
    return escaped(_CODES.get(emotion, emotion[:1].upper()))


def css_class(emotion: str) -> str:
    return "e-" + re.sub(r"[^a-z0-9-]", "-", emotion.lower())


def clock(seconds: float) -> str:
    """0:05, 12:34, 1:02:03."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def escaped(text: str) -> str:
    return escape(text, quote=True)

"""A report in one HTML file, which opens offline: no scripts, no requests, and nothing that a strict CSP refuses.

Styles are in one element, which the policy allows by its hash. Positions and colours of the timeline are attributes and
classes of SVG, because the policy refuses style attributes.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, words
from engine.export.html_timeline import clock, code, css_class, escaped, identifier, timeline
from engine.export.summary import Change, SpeakerSummary, Summary, summarize

_MANY_CHANGES = 6


def to_html(conversations: Sequence[ExportedConversation]) -> str:
    """Summary, timeline and all turns of one conversation."""
    (conversation,) = conversations
    summary = summarize(conversation.events, conversation.change)
    styles = _styles()
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    name = escaped(conversation.name)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; \
form-action 'none'">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<title>{name}: emotions</title>
<style>{styles}</style>
</head>
<body>
<header><h1>{name}</h1><p>{_about(conversation)}</p></header>
<main>
{_people(summary)}
{timeline(conversation)}
{_moments(summary)}
{_changes(summary)}
{_turns(conversation)}
</main>
<footer><p>Emotions are estimates of a program from words, voices and faces, and often wrong for a single turn.\
{_model(conversation)}</p></footer>
</body>
</html>
"""


@cache
def _styles() -> str:
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def _about(conversation: ExportedConversation) -> str:
    people, turns = len(conversation.speakers), len(conversation.turns)
    return " · ".join(
        (
            f"{people} {'person' if people == 1 else 'people'}",
            f"{turns} turn{'s' * (turns != 1)}",
            f"{clock(conversation.end_s)} long",
        )
    )


def _model(conversation: ExportedConversation) -> str:
    models = ", ".join(dict.fromkeys(event.model for event in conversation.events))
    return f" Model: {escaped(models)}." if models else ""


def _people(summary: Summary) -> str:
    if not summary.speakers:
        return "<p>No speech was detected.</p>"
    cards = "".join(_person(it) for it in summary.speakers)
    return f'<section aria-labelledby="people"><h2 id="people">People</h2><ul class="people">{cards}</ul></section>'


def _person(it: SpeakerSummary) -> str:
    at, bars, rows = 0.0, "", ""
    for emotion, share in it.shares.items():
        bars += f'<rect class="{css_class(emotion)}" x="{at:.2%}" width="{share:.2%}" height="100%"/>'
        at += share
        rows += f"<li>{_swatch(emotion)}{escaped(emotion)} <b>{share:.0%}</b></li>"
    changes = f"{it.changes} change{'s' * (it.changes != 1)}"
    return (
        f'<li class="card"><h3>{escaped(it.speaker)}</h3>'
        f"<p>{it.turns} turn{'s' * (it.turns != 1)} · spoke {clock(it.spoken_s)} · {changes} of emotion</p>"
        f'<svg class="shares" aria-hidden="true">{bars}</svg><ul class="legend">{rows}</ul></li>'
    )


def _moments(summary: Summary) -> str:
    if not summary.moments:
        return ""
    items = "".join(f"<li>{_line(event)}</li>" for event in summary.moments)
    return (
        '<section aria-labelledby="moments"><h2 id="moments">Most intense moments</h2>'
        f'<ol class="card list">{items}</ol></section>'
    )


def _changes(summary: Summary) -> str:
    if not summary.changes:
        return ""
    items = "".join(_change(it) for it in summary.changes)
    heading = f"Lasting changes of emotion ({len(summary.changes)})"
    state = "" if len(summary.changes) > _MANY_CHANGES else " open"
    return (
        f'<section><details{state}><summary><h2>{heading}</h2></summary><ol class="card list">{items}</ol>'
        "</details></section>"
    )


def _change(it: Change) -> str:
    return (
        f"<li>{_link(it.event)} <strong>{escaped(it.event.speaker)}</strong> "
        f'<span class="chips">{_chip(it.before)} <span aria-label="then">→</span> {_chip(it.event.emotion)}</span></li>'
    )


MODALITIES = {"text": "words", "audio": "voice", "visual": "face"}


def _turns(conversation: ExportedConversation) -> str:
    turns = {event.utterance: event for event in conversation.events}
    items = "".join(_turn(event, _because(event, turns)) for event in conversation.events)
    return (
        f'<section aria-labelledby="turns"><h2 id="turns">All turns</h2><ol class="card turns">{items}</ol></section>'
    )


def _turn(event: EmotionEvent, because: str) -> str:
    marks = [name for name in ("uncertain", "backchannel") if getattr(event, name)]
    marks += ["corrected"] * (event.status == "corrected")
    marks += [name.replace("_", " ") for name in event.vocal_events]
    tags = "".join(f'<span class="tag">{escaped(mark)}</span>' for mark in marks)
    return (
        f'<li id="{identifier(event)}" class="{css_class(event.emotion)}">'
        f'<div class="who"><strong>{escaped(event.speaker)}</strong> <time>{clock(event.start_s)}</time></div>'
        f'<div class="what"><p>{_said(event)}</p><div class="chips">'
        f"{_chip(event.emotion, event)}{tags}</div>{_probabilities(event)}{because}</div></li>"
    )


def _because(event: EmotionEvent, turns: Mapping[str, EmotionEvent]) -> str:
    """The earlier turns and the modalities of this one that moved it, and by how much."""
    found = [(it.weight, turns[it.utterance]) for it in event.because if it.utterance in turns]
    items = "".join(f"<li>{weight:+.2f} {_line(turn)}</li>" for weight, turn in found)
    items += "".join(
        f"<li>{weight:+.2f} this turn's {MODALITIES[name]}</li>" for name, weight in event.modality_weights.items()
    )
    if not items:
        return ""
    return f'<details><summary>What moved it</summary><ol class="list">{items}</ol></details>'


def _probabilities(event: EmotionEvent) -> str:
    ordered = sorted(event.probabilities.items(), key=lambda item: -item[1])
    rows = "".join(
        f"<tr><th scope=row>{escaped(name)}</th><td><svg class=bar aria-hidden=true>"
        f'<rect class="{css_class(name)}" width="{share:.1%}" height="100%"/></svg></td><td>{share:.0%}</td></tr>'
        for name, share in ordered
    )
    shown = f"valence {event.valence:+.2f}, arousal {event.arousal:+.2f}"
    return f"<details><summary>All probabilities</summary><table>{rows}</table><p>{shown}</p></details>"


def _line(event: EmotionEvent) -> str:
    said = f"<q>{_said(event)}</q>" if words(event) else _said(event)
    return f"{_link(event)} <strong>{escaped(event.speaker)}</strong> {_chip(event.emotion, event)} {said}"


def _link(event: EmotionEvent) -> str:
    return f'<a href="#{identifier(event)}"><time>{clock(event.start_s)}</time></a>'


def _chip(emotion: str, event: EmotionEvent | None = None) -> str:
    sure = f" {event.confidence:.0%}" if event else ""
    state = " uncertain" if event and event.uncertain else ""
    return f'<span class="chip {css_class(emotion)}{state}">{escaped(emotion)}{sure}</span>'


def _swatch(emotion: str) -> str:
    return f'<span class="swatch {css_class(emotion)}" aria-hidden="true">{code(emotion)}</span>'


def _said(event: EmotionEvent) -> str:
    return escaped(words(event)) or '<em class="none">no words</em>'

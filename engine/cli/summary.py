"""The summary of a conversation on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from engine.cli.table import COLOURS
from engine.events import EmotionEvent
from engine.export.conversation import words
from engine.export.summary import Summary

SHOWN_CHANGES = 8


def show_summary(console: Console, name: str, summary: Summary, duration_s: float, took_s: float) -> None:
    """`duration_s`: of the media; `took_s`: to process it."""
    line = summary_line(summary, duration_s, took_s)
    console.print(Text.assemble("\n", (name, "bold"), f": {line}"), highlight=False)
    for it in summary.speakers:
        shares = Text(", ").join(_emotion(emotion, f" {share:.0%}") for emotion, share in it.shares.items())
        changes = f", {it.changes} change{'s' * (it.changes != 1)}" if it.changes else ""
        spoke = f"  {it.speaker}: {it.turns} turn{'s' * (it.turns != 1)}, {_clock(it.spoken_s)} of speech; "
        console.print(Text.assemble(spoke, shares, changes), highlight=False)
    _list(console, "changes of emotion", [_change(it.event, it.before) for it in summary.changes])
    _list(console, "most intense", [_moment(it) for it in summary.moments])


def summary_line(summary: Summary, duration_s: float, took_s: float) -> str:
    """How much there was and how fast, without emotions."""
    people, turns = len(summary.speakers), sum(it.turns for it in summary.speakers)
    speed = f", {duration_s / took_s:.1f} times real time" if took_s > 0 and duration_s else ""
    who = f"{people} {'person' if people == 1 else 'people'}, {turns} turn{'s' * (turns != 1)}"
    return f"{who}; {_clock(duration_s)} of media in {took_s:.1f} s{speed}"


def _list(console: Console, title: str, lines: Sequence[Text]) -> None:
    if not lines:
        return
    console.print(f"  {title}:", highlight=False)
    for line in lines[:SHOWN_CHANGES]:
        console.print(Text("    ") + line, highlight=False, no_wrap=True, overflow="ellipsis")
    if len(lines) > SHOWN_CHANGES:
        console.print(f"    and {len(lines) - SHOWN_CHANGES} more", highlight=False)


def _change(event: EmotionEvent, before: str) -> Text:
    return Text.assemble(
        f"{_clock(event.start_s)} {event.speaker}: ", _emotion(before), " to ", _emotion(event.emotion)
    )


def _moment(event: EmotionEvent) -> Text:
    sure = _emotion(event.emotion, f" {event.confidence:.0%}")
    return Text.assemble(f"{_clock(event.start_s)} {event.speaker}: ", sure, f"  {words(event)}")


def _emotion(name: str, more: str = "") -> Text:
    return Text(name + more, style=COLOURS.get(name, "white"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"

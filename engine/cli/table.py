"""A table of turns that grows on a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cberl.recent import RecentDict
from engine.events import EmotionEvent
from engine.export.html_report import MODALITIES

# Colour is never the only signal: the label stands beside it.
COLOURS = {
    "neutral": "white",
    "surprise": "magenta",
    "fear": "bright_blue",
    "sadness": "blue",
    "joy": "yellow",
    "disgust": "green",
    "anger": "red",
}
_WIDTHS = (7, 12, 10, 5)
SHOWN_INFLUENCES = 3


class TurnTable:
    """Prints one line per turn with aligned columns, while the conversation goes on.

    Below it are the earlier turns that moved it most, and by how much its modalities did, where the event has them (see
    `EmotionEvent.because`).
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turns: RecentDict[str, EmotionEvent] = RecentDict()  # the latest, by utterance
        self._row(("time", "speaker", "emotion", "sure", "said"), style="bold")

    def add(self, event: EmotionEvent) -> None:
        emotion = Text(event.emotion, style=COLOURS.get(event.emotion, "white"))
        sure = f"{100 * event.confidence:.0f}%"
        said = ("(corrected) " if event.status == "corrected" else "") + (event.text or "(no words)")
        self._row((_time(event), event.speaker, emotion, sure, said))
        for influence in event.because[:SHOWN_INFLUENCES]:
            if earlier := self._turns.get(influence.utterance):
                said = f"{_time(earlier)} {earlier.speaker}: {earlier.text or '(no words)'}"
                how = "because" if influence.weight > 0 else "despite"
                line = Text(said, no_wrap=True, overflow="ellipsis")
                self._row(("", "", how, f"{influence.weight:+.2f}", line), style="dim")
        if event.modality_weights:
            shown = ", ".join(f"{MODALITIES[name]} {weight:+.2f}" for name, weight in event.modality_weights.items())
            self._row(("", "", "this turn", "", shown), style="dim")
        self._turns[event.utterance] = event

    def heading(self, text: str) -> None:
        """Before the turns of another conversation."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def _row(self, cells: Iterable[str | Text], style: str = "") -> None:
        grid = Table.grid(padding=(0, 1), expand=True)
        for width in _WIDTHS:
            grid.add_column(width=width, no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_row(*cells, style=style)
        self._console.print(grid)


def _time(event: EmotionEvent) -> str:
    minutes, seconds = divmod(event.start_s, 60)
    return f"{minutes:.0f}:{seconds:04.1f}"

"""A table of turns that grows on a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.events import EmotionEvent

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


class TurnTable:
    """Prints one line per turn with aligned columns, while the conversation goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._row(("time", "speaker", "emotion", "sure", "said"), style="bold")

    def add(self, event: EmotionEvent) -> None:
        minutes, seconds = divmod(event.start_s, 60)
        emotion = Text(event.emotion, style=COLOURS.get(event.emotion, "white"))
        sure = f"{100 * event.confidence:.0f}%"
        said = ("(corrected) " if event.status == "corrected" else "") + (event.text or "(no words)")
        self._row((f"{minutes:.0f}:{seconds:04.1f}", event.speaker, emotion, sure, said))

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

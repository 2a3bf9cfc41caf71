"""How much silence ends a turn, given what was said so far. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

Completeness = Literal["finished", "unfinished", "undecided"]

# Words after which an English sentence goes on, whatever punctuation the recogniser put behind them.
CONTINUES = frozenset({
    "a", "an", "and", "as", "at", "because", "but", "by", "for", "from", "if", "in", "into", "my", "of", "on", "or",
    "our", "so", "than", "that's", "the", "their", "then", "to", "when", "which", "while", "who", "with", "your",
})  # fmt: skip
FILLERS = frozenset({"ah", "eh", "er", "erm", "hmm", "uh", "um", "well"})
SHORT = 3  # words: less may be the start of a sentence that the recogniser closed with a full stop


def completeness(text: str) -> Completeness:
    """Whether somebody who said this is likely to go on."""
    words = re.findall(r"[\w'’]+", text.lower())
    end = text.rstrip(" \"'”’)")
    if not words:
        return "undecided"
    if words[-1] in CONTINUES | FILLERS or end.endswith((",", "…", "...", "-", "–", ":")):
        return "unfinished"
    if end.endswith(("?", "!")) or (end.endswith(".") and len(words) >= SHORT):
        return "finished"
    return "undecided"


@dataclass(frozen=True, slots=True)
class EndSilence:
    """Milliseconds of silence that end a turn: `min_ms` after a finished sentence, `max_ms` after an unfinished one."""

    undecided_ms: float
    min_ms: float
    max_ms: float

    def after(self, text: str) -> float:
        match completeness(text):
            case "finished":
                return min(self.min_ms, self.undecided_ms)
            case "unfinished":
                return max(self.max_ms, self.undecided_ms)
            case _:
                return self.undecided_ms

"""What one corpus shares with another's held-out part: EmoryNLP and MELD are cut from the same television series."""

import re
from collections.abc import Iterable, Sequence

from cberl.data.dialogue import Dialogue

TELLING_WORDS = 5  # a shorter line ("What?") proves nothing


def without_overlap(dialogues: Sequence[Dialogue], held_out: Iterable[Dialogue]) -> list[Dialogue]:
    """The dialogues that share no line of `TELLING_WORDS` words or more with any of `held_out`."""
    kept_back = {words for one in held_out for line in one.lines if (words := _telling(line.text))}
    return [one for one in dialogues if not any(_telling(line.text) in kept_back for line in one.lines)]


def _telling(text: str) -> tuple[str, ...]:
    words = tuple(re.findall(r"[a-z0-9']+", text.lower()))
    return words if len(words) >= TELLING_WORDS else ()

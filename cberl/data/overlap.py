"""Removes dialogues that overlap with another corpus's held-out part: EmoryNLP and MELD share a television series."""

import re
from collections.abc import Iterable, Sequence

from cberl.data.corpus import Corpus
from cberl.data.dialogue import Dialogue

DISTINCTIVE_WORDS = 5  # shorter lines ("What?") occur in many dialogues


def held_out_of(*corpora: Corpus) -> list[Dialogue]:
    """Their dev and test, which nothing may be trained on. Raises `DataError`."""
    held_out = ((corpus, split) for corpus in corpora for split in ("dev", "test") if split in corpus.splits)
    return [one for corpus, split in held_out for one in corpus.read(split)]


def without_overlap(dialogues: Sequence[Dialogue], held_out: Iterable[Dialogue]) -> list[Dialogue]:
    """The dialogues that share no line of `DISTINCTIVE_WORDS` words or more with any of `held_out`."""
    known = {words for one in held_out for line in one.lines if (words := _distinctive(line.text))}
    return [one for one in dialogues if not any(_distinctive(line.text) in known for line in one.lines)]


def _distinctive(text: str) -> tuple[str, ...]:
    words = tuple(re.findall(r"[a-z0-9']+", text.lower()))
    return words if len(words) >= DISTINCTIVE_WORDS else ()

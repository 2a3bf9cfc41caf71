"""Detects text that cannot have been said, as recognisers produce it from noise. Pure."""

import re

WORDS_PER_S, WORDS_FREE = 8.0, 3  # the fastest speech; a few short words are always allowed
SOUND = re.compile(r"(\w{1,2})\1{4}")  # "AHHHHH", "hehehehehe": sounds, not words
# A phrase of so many words, repeated so often in a row, is an error of the recogniser; where that is certain of each
# word, twice as often: people do say "No!" seven times and "Stop it!" four times.
LOOPS = {1: 6, 2: 4, 3: 4}
CERTAIN = 2


def plausible(text: str, duration_s: float, *, certain: bool = False) -> bool:
    """Whether this text can have been spoken in so many seconds. Empty text is plausible.

    certain: whether the recogniser is very confident, which it is of few repetitions that were not said.
    """
    words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
    if text and (not words or SOUND.search(text)):
        return False
    return len(words) <= WORDS_FREE + WORDS_PER_S * duration_s and not _loops(words, CERTAIN if certain else 1)


def _loops(words: list[str], factor: int) -> bool:
    return any(
        words[at : at + size] * times == words[at : at + size * times]
        for size, times in ((size, factor * times) for size, times in LOOPS.items())
        for at in range(len(words) - size * times + 1)
    )

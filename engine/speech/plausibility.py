"""Detects text that cannot have been said, as recognisers produce it from noise. Pure."""

import re

WORDS_PER_S, WORDS_FREE = 8.0, 3  # the fastest speech; a few short words are always allowed
SOUND = re.compile(r"(\w{1,2})\1{4}")  # "AHHHHH", "hehehehehe": sounds, not words
LOOPS = {1: 6, 2: 4, 3: 4}  # a phrase of so many words, repeated so often in a row, is an error of the recogniser


def plausible(text: str, duration_s: float) -> bool:
    """Whether this text can have been spoken in so many seconds. Empty text is plausible."""
    words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
    if text and (not words or SOUND.search(text)):
        return False
    return len(words) <= WORDS_FREE + WORDS_PER_S * duration_s and not _loops(words)


def _loops(words: list[str]) -> bool:
    return any(
        words[at : at + size] * times == words[at : at + size * times]
        for size, times in LOOPS.items()
        for at in range(len(words) - size * times + 1)
    )

"""Text that cannot have been said: what recognisers make up on noise. Pure, the same for all of them."""

import re

WORDS_PER_S, WORDS_FREE = 8.0, 3  # nobody speaks faster; a few words may be short
LOOPS = {1: 6, 2: 4, 3: 4}  # so many words, so often in a row, are the recogniser's and not a speaker's


def plausible(text: str, duration_s: float) -> bool:
    """Whether somebody may have said this in so many seconds. "" is plausible: nothing was said."""
    words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
    return len(words) <= WORDS_FREE + WORDS_PER_S * duration_s and not _loops(words)


def _loops(words: list[str]) -> bool:
    return any(
        words[at : at + size] * times == words[at : at + size * times]
        for size, times in LOOPS.items()
        for at in range(len(words) - size * times + 1)
    )

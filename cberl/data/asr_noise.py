"""Text as a speech recogniser might have heard it: words replaced by similar-sounding ones, lost, or added.

For training that forgives recognition errors, and for the curve of F1 against word error rate.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable

import jellyfish

# How errors of English recognisers divide, roughly: most are substitutions.
SUBSTITUTED, DELETED = 0.65, 0.25  # the rest is inserted


class AsrNoise:
    """Corrupts text at a set word error rate, with the words of a corpus. The caller's random state decides."""

    def __init__(self, texts: Iterable[str]) -> None:
        """texts: where the words that may be heard come from, by their frequency."""
        self._words = [word for text in texts for word in _plain(text).split()]
        sounding = defaultdict(set)
        for word in set(self._words):
            sounding[jellyfish.metaphone(word)].add(word)
            sounding[jellyfish.soundex(word)].add(word)
        self._alike = {key: sorted(words) for key, words in sounding.items()}

    def corrupt(self, text: str, word_error_rate: float, rng: random.Random) -> str:
        """Lower case without punctuation, as most recognisers write, and each word wrong with this chance.

        Never empty where the text is not: a turn of which nothing was heard is another case.
        """
        heard: list[str] = []
        words = _plain(text).split()
        for word in words:
            draw = rng.random() / word_error_rate if word_error_rate > 0 else 1.0
            if draw < SUBSTITUTED:
                heard.append(self._misheard(word, rng))
            elif draw >= 1.0:
                heard.append(word)
            elif draw >= SUBSTITUTED + DELETED:
                heard += [word, rng.choice(self._words)]
        return " ".join(heard) or " ".join(words) or text

    def _misheard(self, word: str, rng: random.Random) -> str:
        """A word that sounds alike, where there is one; else any."""
        for key in (jellyfish.metaphone(word), jellyfish.soundex(word)):
            others = [other for other in self._alike.get(key, ()) if other != word]
            if others:
                return rng.choice(others)
        return rng.choice(self._words)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split())

"""Simulated errors of speech recognition: words replaced by similar-sounding ones, deleted or inserted.

For training that is robust to recognition errors, and for the curve of F1 by word error rate.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable

import jellyfish

from cberl.data import whisper_style

# Shares of the kinds of error, roughly those of English recognisers.
SUBSTITUTED, DELETED = 0.65, 0.25  # the rest are insertions


class AsrNoise:
    """Corrupts text at a given word error rate, with words of a corpus. Random draws come from the caller's `rng`."""

    def __init__(self, texts: Iterable[str]) -> None:
        """texts: the source of wrong words, which are drawn by their frequency."""
        self._words = [word for text in texts for word in _plain(text).split()]
        sounding = defaultdict(set)
        for word in set(self._words):
            sounding[jellyfish.metaphone(word)].add(word)
            sounding[jellyfish.soundex(word)].add(word)
        self._alike = {key: sorted(words) for key, words in sounding.items()}

    def plain(self, text: str, word_error_rate: float, rng: random.Random) -> str:
        """Lower case without punctuation, as simple recognisers write, and each word wrong with this probability.

        Never empty unless `text` is: a turn without any recognised word is absent text, which is not simulated here.
        """
        words = _plain(text).split()
        return " ".join(self._with_errors(words, word_error_rate, rng)) or " ".join(words) or text

    def whisper(self, text: str, word_error_rate: float, rng: random.Random) -> str:
        """As Whisper writes (`whisper_style`), and each word wrong with this probability. Never empty unless `text` is.

        Its spelling differs from that of scripts, which counts as errors as well: 4 % of MELD's words.
        """
        said = []
        for word, mark in whisper_style.tokens(text):
            wrong = self._with_errors([whisper_style.spelled(word, rng)], word_error_rate, rng)
            said.append((" ".join(wrong), mark))
        return whisper_style.written(said, rng) or text

    def _with_errors(self, words: list[str], word_error_rate: float, rng: random.Random) -> list[str]:
        corrupted: list[str] = []
        for word in words:
            draw = rng.random() / word_error_rate if word_error_rate > 0 else 1.0
            if draw < SUBSTITUTED:
                corrupted.append(self._substitute(word.lower(), rng))
            elif draw >= 1.0:
                corrupted.append(word)
            elif draw >= SUBSTITUTED + DELETED:
                corrupted += [word, rng.choice(self._words)]
        return corrupted

    def _substitute(self, word: str, rng: random.Random) -> str:
        """A word that sounds similar, if there is one; else any."""
        for key in (jellyfish.metaphone(word), jellyfish.soundex(word)):
            others = [other for other in self._alike.get(key, ()) if other != word]
            if others:
                return rng.choice(others)
        return rng.choice(self._words)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split())

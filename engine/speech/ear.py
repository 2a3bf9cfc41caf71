"""One PocketSphinx decoder that hears a clip from its beginning, while it grows or at once: the same either way."""

import math
import re
import time

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder

from cberl.types import SAMPLE_RATE, Float32

PADDING_MS = 100  # silence before and after, as the language model expects a sentence to have
LEVEL_RMS = 0.1  # what every clip is brought to (-20 dB of full scale)
PIECE = SAMPLE_RATE // 10
MEASURED = 25 * PIECE  # the beginning that says what a longer clip's level and cepstral mean are
MOST_STATES = 3000  # of the search, a frame: a quarter faster than without this limit, and the same words

_SILENCE = bytes(2 * PADDING_MS * SAMPLE_RATE // 1000)
_NO_WORDS = "measure"  # a search for nothing: features are all that is wanted
_MARK = re.compile(r"<[^>]*>|\[[^\]]*\]|\+\+[^+]*\+\+")  # <s>, <sil>, [NOISE], ++UM++
_VARIANT = re.compile(r"\(\d+\)")  # a(2): the second pronunciation of "a"


class Ear:
    """Give it the same clip again and again, each time longer, and `end` with the whole one.

    The cepstra of a clip shorter than 2.5 s are normalised by their mean. That of a longer one would be known too late:
    there it is the mean of the first 2.5 s, adapted by PocketSphinx from then on. What is heard depends on the clip
    alone: it is always taken in pieces of the same length, whenever they come.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(loglevel="FATAL", maxhmmpf=MOST_STATES)
        self._words = self._decoder.current_search()
        self._decoder.add_keyphrase(_NO_WORDS, "hello")
        self.used_at = 0.0
        self._clip: Float32 | None = None  # the one under way, as far as it is known
        self._at = 0  # samples of it that were heard
        self._gain = 1.0

    @property
    def busy(self) -> bool:
        """Whether a clip is under way."""
        return self._clip is not None

    def knows(self, pcm: Float32) -> bool:
        """Whether this is the clip under way."""
        clip = self._clip
        return clip is not None and len(clip) <= len(pcm) and np.array_equal(clip, pcm[: len(clip)])

    def analyze_turn(self, pcm: Float32, until: float = math.inf) -> str:
        """As much as can be heard by then, on the clock of `time.monotonic`; the words so far."""
        if not self.knows(pcm):
            self.forget()
            if len(pcm) < MEASURED:
                return ""
            self._begin(pcm[:MEASURED])
        while self._at + PIECE <= len(pcm) and time.monotonic() < until:
            self._decoder.process_raw(self._int16(pcm[self._at : self._at + PIECE]).tobytes())
            self._at += PIECE
        self._clip, self.used_at = pcm[: max(self._at, MEASURED)], time.monotonic()
        return self._hypothesis()

    def end(self, pcm: Float32) -> str:
        """The words of the whole clip, which is not empty."""
        if len(pcm) < MEASURED:
            self.forget()
            return self._at_once(pcm)
        self.analyze_turn(pcm)
        rest = pcm[len(pcm) - len(pcm) % PIECE :]
        self._decoder.process_raw(self._int16(rest).tobytes() + _SILENCE)
        return self._over()

    def forget(self) -> None:
        """The clip under way is not wanted any more."""
        if self.busy:
            self._over()

    def _at_once(self, pcm: Float32) -> str:
        """Normalised by its own mean."""
        self._measure(pcm)
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(_SILENCE + self._int16(pcm).tobytes() + _SILENCE, full_utt=True)
        finally:
            self._decoder.end_utt()
        return self._hypothesis()

    def _begin(self, first: Float32) -> None:
        self._measure(first)
        self._decoder.activate_search(_NO_WORDS)
        self._decoder.start_utt()
        self._decoder.process_raw(_SILENCE + self._int16(first).tobytes(), no_search=True, full_utt=True)
        self._decoder.end_utt()
        mean = self._decoder.get_cmn()
        self._decoder.activate_search(self._words)
        self._decoder.reinit_feat()
        self._decoder.set_cmn(mean)
        self._decoder.start_utt()
        self._decoder.process_raw(_SILENCE)
        self._clip, self._at = first, 0

    def _measure(self, pcm: Float32) -> None:
        """The gain that brings it to one level, as far as its peaks allow; and no noise remembered from before."""
        level, peak = float(np.sqrt(np.mean(np.square(pcm)))), float(np.abs(pcm).max())
        self._gain = min(LEVEL_RMS / level, 1.0 / peak) if peak else 1.0
        self._decoder.reinit_feat()

    def _over(self) -> str:
        self._clip = None
        self._decoder.end_utt()
        return self._hypothesis()

    def _hypothesis(self) -> str:
        found = self._decoder.hyp()
        return plain_words(found.hypstr) if found else ""

    def _int16(self, pcm: Float32) -> NDArray[np.int16]:
        samples: NDArray[np.int16] = (np.clip(pcm * self._gain, -1.0, 1.0) * 32767).astype(np.int16)
        return samples


def plain_words(hypothesis: str) -> str:
    """The words alone, without the decoder's marks for silence, noise and pronunciation variants."""
    return " ".join(_VARIANT.sub("", _MARK.sub(" ", hypothesis)).split())

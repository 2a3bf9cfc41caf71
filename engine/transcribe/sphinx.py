"""PocketSphinx: English speech to text whose models come inside its wheel: it works anywhere, offline.

https://github.com/cmusphinx/pocketsphinx. Fair on clear speech, poor on noise; the recogniser of last resort.
"""

import importlib.util
import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.messages import SAMPLE_RATE, Float32, Transcript
from engine.transcribe import TranscriberError
from engine.transcribe.gate import plausible

if TYPE_CHECKING:
    from pocketsphinx import Decoder

PADDING_MS = 100  # silence before and after, as the language model expects a sentence to have
LEVEL_RMS = 0.1  # what every clip is brought to (-20 dB of full scale)
SHORTEST_MS = 100  # below that, there is no word in it

_MARK = re.compile(r"<[^>]*>|\[[^\]]*\]|\+\+[^+]*\+\+")  # <s>, <sil>, [NOISE], ++UM++
_VARIANT = re.compile(r"\(\d+\)")  # a(2): the second pronunciation of "a"


class SphinxTranscriber:
    """Decodes each clip whole.

    The decoder holds the GIL from start to end (a second or more for ten seconds of speech), so it belongs in
    a process; it is loaded there, by the first call.
    """

    name = "pocketsphinx"
    kind: Literal["thread", "process"] = "process"

    def __init__(self) -> None:
        """Raises TranscriberError if the package is missing."""
        if importlib.util.find_spec("pocketsphinx") is None:
            raise TranscriberError("pocketsphinx is not installed: pip install pocketsphinx")
        self._decoder: Decoder | None = None

    def __reduce__(self) -> tuple[type["SphinxTranscriber"], tuple[()]]:
        return SphinxTranscriber, ()  # a decoder cannot travel: each process loads its own

    def transcribe(self, clips: list[Float32]) -> list[Transcript]:
        """See Transcriber. `confidence` is None: the decoder's posterior falls with every word."""
        return [Transcript(self._decode(clip), "en", None, self.name) for clip in clips]

    def _decode(self, pcm: Float32) -> str:
        decoder = self._load()
        if len(pcm) * 1e3 / SAMPLE_RATE < SHORTEST_MS or not np.any(pcm):
            return ""
        decoder.start_utt()
        try:
            # Piece by piece, the cepstral mean would adapt from one clip to the next. `full_utt` normalises
            # over this clip alone: better words, and nothing that came before is heard.
            decoder.process_raw(_int16(pcm).tobytes(), full_utt=True)
        finally:
            decoder.end_utt()
        hypothesis = decoder.hyp()
        words = plain_words(hypothesis.hypstr) if hypothesis else ""
        return words if plausible(words, len(pcm) / SAMPLE_RATE) else ""

    def _load(self) -> "Decoder":
        if self._decoder is None:
            from pocketsphinx import Decoder  # only where it runs

            self._decoder = Decoder(loglevel="FATAL")
        return self._decoder


def plain_words(hypothesis: str) -> str:
    """The words alone, without the decoder's marks for silence, noise and pronunciation variants."""
    return " ".join(_VARIANT.sub("", _MARK.sub(" ", hypothesis)).split())


def _int16(pcm: Float32) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Brought to one level, as far as its peaks allow, with silence around it."""
    level, peak = float(np.sqrt(np.mean(np.square(pcm)))), float(np.abs(pcm).max())
    even = pcm * min(LEVEL_RMS / level, 1.0 / peak)
    return np.pad((even * 32767).astype(np.int16), PADDING_MS * SAMPLE_RATE // 1000)

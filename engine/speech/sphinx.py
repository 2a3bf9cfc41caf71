"""PocketSphinx: English speech to text whose models come inside its wheel: it works anywhere, offline.

https://github.com/cmusphinx/pocketsphinx. Fair on clear speech, poor on noise; the recogniser of last resort.
"""

import importlib.util
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.speech.plausibility import plausible
from engine.speech.transcriber import Beginning, TranscriberError, Transcript

if TYPE_CHECKING:
    from engine.speech.ear import Ear

SHORTEST_MS = 100  # below that, there is no word in it
EARS = 2  # clips that can be heard while they grow; each takes 90 MB
AHEAD_S = 0.15  # spent on the beginning of a clip in one go: somebody may wait
STALE_S = 3.0  # a clip that has not grown for so long is forgotten where its ear is wanted


class SphinxTranscriber:
    """Hears clips while they grow, as many as it has ears for; any other whole.

    A decoder holds the GIL while it works (a second or more for ten seconds of speech), so it belongs in a process; it
    is loaded there, by the first call.
    """

    name = "pocketsphinx"
    kind: Literal["thread", "process"] = "process"
    follows = True

    def __init__(self) -> None:
        """Raises TranscriberError if the package is missing."""
        if importlib.util.find_spec("pocketsphinx") is None:
            raise TranscriberError("pocketsphinx is not installed: pip install pocketsphinx")
        self._ears: list[Ear] = []

    def __reduce__(self) -> tuple[type["SphinxTranscriber"], tuple[()]]:
        return SphinxTranscriber, ()  # a decoder cannot travel: each process loads its own

    def transcribe(self, clips: Sequence[Float32 | Beginning]) -> list[Transcript]:
        """See Transcriber. `confidence` is None: the decoder's posterior falls with every word."""
        texts = [self._follow(it.pcm) if isinstance(it, Beginning) else self._decode(it) for it in clips]
        return [Transcript(text, "en", None, self.name) for text in texts]

    def _decode(self, pcm: Float32) -> str:
        if len(pcm) * 1e3 / SAMPLE_RATE < SHORTEST_MS or not np.any(pcm):
            return ""
        ear = self._known(pcm) or self._free() or self._least_used()
        words = ear.end(pcm)
        return words if plausible(words, len(pcm) / SAMPLE_RATE) else ""

    def _follow(self, pcm: Float32) -> str:
        """Where every ear is with a clip that still grows, this one is passed over."""
        ear = self._known(pcm) or self._free()
        return ear.analyze_turn(pcm, time.monotonic() + AHEAD_S) if ear else ""

    def _known(self, pcm: Float32) -> "Ear | None":
        return next((ear for ear in self._all() if ear.knows(pcm)), None)

    def _free(self) -> "Ear | None":
        stale_at = time.monotonic() - STALE_S
        return next((ear for ear in self._all() if not ear.busy or ear.used_at < stale_at), None)

    def _least_used(self) -> "Ear":
        return min(self._all(), key=lambda ear: ear.used_at)

    def _all(self) -> list["Ear"]:
        if not self._ears:
            from engine.speech.ear import Ear  # only where it runs

            self._ears = [Ear() for _ in range(EARS)]
        return self._ears

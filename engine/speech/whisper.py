"""Whisper through faster-whisper (CTranslate2): https://github.com/SYSTRAN/faster-whisper."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.speech.plausibility import plausible
from engine.speech.transcriber import TranscriberError, Transcript

SHORTEST_MS = 100  # below that, there is no word in it
NO_SPEECH = 0.6  # a segment more probably silent than this, and not clearly heard, has no text
HARDLY_HEARD = -1.0  # average log-probability a token below which text is guesswork (Whisper's own limit)
REPETITION = 2.4  # text that compresses better than this goes in circles (Whisper's own limit)


class WhisperTranscriber:
    """Greedy enough to be quick, deterministic, and silent rather than inventive on noise."""

    kind: Literal["thread", "process"] = "thread"  # CTranslate2 lets go of the GIL
    follows = False

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        compute_type: str = "auto",
        language: str | None = None,
        beam_size: int = 5,
        local_files_only: bool = False,
    ) -> None:
        """Load and warm `model`: a directory, a size such as "base.en", or a hub id. `language` None: detected.

        Raises TranscriberError if it is not there, cannot be fetched or is not a Whisper model.
        """
        self.name = "faster-whisper"
        self._language = language
        self._beam_size = beam_size
        try:
            from faster_whisper import WhisperModel  # seconds to import, so only where it is used
        except ImportError as error:
            raise TranscriberError("faster-whisper is not installed: pip install faster-whisper") from error
        try:
            self._model = WhisperModel(
                model, device=device, compute_type=compute_type, local_files_only=local_files_only
            )
            self._transcribe(np.zeros(SAMPLE_RATE, np.float32))  # some failures only show at work
        except (OSError, RuntimeError, ValueError) as error:
            why = str(error).strip().partition("\n")[0]
            raise TranscriberError(f"the Whisper model {model!r} cannot be loaded: {why}") from error

    def transcribe(self, clips: Sequence[Float32]) -> list[Transcript]:
        """See Transcriber. `confidence` is the mean probability of a token."""
        return [self._transcribe(clip) for clip in clips]

    def _transcribe(self, pcm: Float32) -> Transcript:
        if len(pcm) * 1e3 / SAMPLE_RATE < SHORTEST_MS:
            return Transcript("", self._language or "en", None, self.name)
        segments, info = self._model.transcribe(
            np.ascontiguousarray(pcm, np.float32),
            language=self._language,
            beam_size=self._beam_size,
            temperature=0.0,  # no sampling: the same clip gives the same text
            condition_on_previous_text=False,
            vad_filter=False,  # a turn has been cut by our own already
            without_timestamps=True,
            no_speech_threshold=NO_SPEECH,
            log_prob_threshold=HARDLY_HEARD,
        )
        kept = [s for s in segments if s.compression_ratio <= REPETITION and s.avg_logprob > HARDLY_HEARD]
        tokens = sum(len(s.tokens) for s in kept)
        text = " ".join(s.text.strip() for s in kept)
        if not tokens or not plausible(text, len(pcm) / SAMPLE_RATE):
            return Transcript("", info.language, None, self.name)
        confidence = math.exp(sum(s.avg_logprob * len(s.tokens) for s in kept) / tokens)
        return Transcript(text, info.language, confidence, self.name)

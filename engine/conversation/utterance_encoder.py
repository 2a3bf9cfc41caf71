"""From the analysis of a turn to an utterance: its feature vectors in the context of the conversation."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from cberl.encoders.conversation import ConversationHistory
from cberl.encoders.text import TextInput
from cberl.types import Float32
from engine.conversation.faults import result_or_fault
from engine.conversation.turn_analysis import TurnAnalysis
from engine.conversation.utterance import Utterance
from engine.runtime.clocks import Stopwatch

EncodeText = Callable[[TextInput], Awaitable[Float32]]


class UtteranceEncoder:
    """Encodes one conversation's turns in context. Call `encode` in the order of the turns."""

    def __init__(self, encode_text: EncodeText, history: ConversationHistory) -> None:
        self._encode_text = encode_text
        self.history = history

    def copy(self) -> "UtteranceEncoder":
        """An independent encoder with the same history."""
        return UtteranceEncoder(self._encode_text, self.history.copy())

    async def encode_ahead(self, analysis: TurnAnalysis) -> TurnAnalysis:
        """Encode the text with the history as it is now. `encode` reuses the vector if no turn comes in between."""
        watch = Stopwatch()
        with watch("encode"):
            text = self.history.peek(analysis.turn.speaker, _words(analysis)).text
            if text is None or _has_vector_of(analysis, text):
                return analysis
            analysis = await self._with_vector(analysis, text)
        return replace(analysis, timings_ms=analysis.timings_ms | watch.timings_ms)

    async def encode(self, analysis: TurnAnalysis) -> Utterance:
        """The next utterance. A modality without content is absent (None), never a vector of zeros."""
        watch = Stopwatch(analysis.timings_ms)
        with watch("encode"):
            text, audio = self.history.push(analysis.turn.speaker, _words(analysis), _audio(analysis))
            if text is not None and not _has_vector_of(analysis, text):
                analysis = await self._with_vector(analysis, text)
        return _utterance(replace(analysis, timings_ms=watch.timings_ms), audio)

    async def preview(self, analysis: TurnAnalysis) -> Utterance:
        """The utterance of a turn in progress. The history does not change."""
        audio = self.history.peek(analysis.turn.speaker, audio=_audio(analysis)).audio
        return _utterance(await self.encode_ahead(analysis), audio)

    async def _with_vector(self, analysis: TurnAnalysis, text: TextInput) -> TurnAnalysis:
        """With the vector of this text, or without where the encoder fails."""
        missing = {part: why for part, why in analysis.missing.items() if part != "text"}
        vector = await result_or_fault("text", self._encode_text(text), missing)
        return replace(analysis, encoded=(text, vector), missing=missing)


def _has_vector_of(analysis: TurnAnalysis, text: TextInput) -> bool:
    """Or the encoder has failed to make one."""
    return analysis.encoded is not None and analysis.encoded[0] == text


def _utterance(analysis: TurnAnalysis, audio: Float32 | None) -> Utterance:
    visual, quality = (analysis.visual.vector, analysis.visual.quality) if analysis.visual else (None, 0.0)
    return Utterance(
        analysis.turn,
        analysis.transcript,
        analysis.encoded[1] if analysis.encoded else None,
        audio,
        visual,
        quality,
        analysis.audio.vocal_events if analysis.audio else (),
        analysis.timings_ms,
        analysis.missing,
    )


def _audio(analysis: TurnAnalysis) -> Float32 | None:
    return analysis.audio.raw if analysis.audio else None


def _words(analysis: TurnAnalysis) -> str:
    return analysis.transcript.text if analysis.transcript else ""

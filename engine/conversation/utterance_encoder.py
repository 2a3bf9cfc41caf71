"""From the analysis of a turn to an utterance: its feature vectors in the context of the conversation."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from cberl.encoders.conversation import ConversationHistory
from cberl.encoders.text import TextInput
from cberl.types import Float32
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
            if text is None or (analysis.encoded is not None and analysis.encoded[0] == text):
                return analysis
            vector = await self._encode_text(text)
        return replace(analysis, timings_ms=analysis.timings_ms | watch.timings_ms, encoded=(text, vector))

    async def encode(self, analysis: TurnAnalysis) -> Utterance:
        """The next utterance. A modality without content is absent (None), never a vector of zeros."""
        watch = Stopwatch(analysis.timings_ms)
        turn, vector = analysis.turn, None
        with watch("encode"):
            text, audio = self.history.push(turn.speaker, _words(analysis), analysis.audio.raw)
            if text is not None:
                encoded, ahead = analysis.encoded or (None, None)
                vector = ahead if encoded == text else await self._encode_text(text)
        visual, quality = (analysis.visual.vector, analysis.visual.quality) if analysis.visual else (None, 0.0)
        events = analysis.audio.vocal_events
        return Utterance(turn, analysis.transcript, vector, audio, visual, quality, events, watch.timings_ms)

    async def preview(self, analysis: TurnAnalysis) -> Utterance:
        """The utterance of a turn in progress. The history does not change."""
        ahead = await self.encode_ahead(analysis)
        vector = ahead.encoded[1] if ahead.encoded else None
        audio = self.history.peek(analysis.turn.speaker, audio=analysis.audio.raw).audio
        visual, quality = (analysis.visual.vector, analysis.visual.quality) if analysis.visual else (None, 0.0)
        turn, events = analysis.turn, analysis.audio.vocal_events
        return Utterance(turn, analysis.transcript, vector, audio, visual, quality, events, ahead.timings_ms)


def _words(analysis: TurnAnalysis) -> str:
    return analysis.transcript.text if analysis.transcript else ""

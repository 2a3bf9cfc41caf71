"""From analysed turns to emotion events; repeated from an earlier turn on when its speaker turns out to be another."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cberl.encoders.conversation import ConversationHistory
from engine.conversation.classifier import EmotionClassifier
from engine.conversation.models import Models
from engine.conversation.saved_state import SavedState
from engine.conversation.turn_analysis import TurnAnalysis
from engine.conversation.utterance_encoder import UtteranceEncoder
from engine.events import EmotionEvent
from engine.speech.speaker_clustering import RELABEL_TURNS

_SILENCE = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _RecognizedTurn:
    """A turn, its event, and the conversation's state before it."""

    analysis: TurnAnalysis
    event: EmotionEvent
    encoder: UtteranceEncoder
    classifier: EmotionClassifier


class ConversationRecognizer:
    """One conversation's utterance encoder and graph. Call `recognize` in the order of the turns.

    The speaker is part of every input: the edges of the graph, the context of the text, the normalisation of the
    voice. So when earlier turns get other speakers, all turns since then are recognised again, and what follows is as
    if the right speakers had been known from the start. This reaches `memory_turns` back, and state is kept from the
    first turn with a speaker embedding on.
    """

    def __init__(
        self, encoder: UtteranceEncoder, classifier: EmotionClassifier, memory_turns: int = RELABEL_TURNS
    ) -> None:
        self._encoder = encoder
        self._classifier = classifier
        self._recognized: deque[_RecognizedTurn] = deque(maxlen=memory_turns)

    def state(self, names: Mapping[str, str], next_turn_id: int) -> SavedState:
        """After the turns so far."""
        classifier, history = self._classifier, self._encoder.history.state()
        emotions, shifts = classifier.shifts.state
        return SavedState(classifier.state, history, emotions, shifts, dict(names), next_turn_id, classifier.utterances)

    async def encode_ahead(self, analysis: TurnAnalysis) -> TurnAnalysis:
        """See `UtteranceEncoder.encode_ahead`."""
        return await self._encoder.encode_ahead(analysis)

    async def preview(self, analysis: TurnAnalysis) -> EmotionEvent:
        """An interim event of a turn in progress. The conversation's state does not change."""
        return await self._classifier.preview(await self._encoder.preview(analysis))

    async def recognize(self, analysis: TurnAnalysis, published_as: str | None = None) -> EmotionEvent:
        """The event of the next turn, without the fields that are known only when it is published.

        `published_as`: see `EmotionClassifier.classify`.
        """
        analysis = await self._encoder.encode_ahead(analysis)
        if analysis.speaker_embedding is None and not self._recognized:
            return await self._classifier.classify(await self._encoder.encode(analysis), published_as)
        before = self._encoder.copy(), self._classifier.copy()
        event = await self._classifier.classify(await self._encoder.encode(analysis), published_as)
        without_media = replace(analysis, turn=replace(analysis.turn, pcm=_SILENCE, frames=()))
        self._recognized.append(_RecognizedTurn(without_media, event, *before))
        return event

    async def relabel_speakers(self, speakers: Mapping[int, str]) -> dict[int, EmotionEvent]:
        """Give turns other speakers. Returns the events whose speaker or emotion has changed. Both by turn id."""
        turn_ids = [it.analysis.turn.turn_id for it in self._recognized]
        first = next((n for n, turn_id in enumerate(turn_ids) if turn_id in speakers), None)
        if first is None:
            return {}
        repeated = list(self._recognized)[first:]
        self._encoder, self._classifier = repeated[0].encoder, repeated[0].classifier
        for _ in repeated:
            self._recognized.pop()
        changed: dict[int, EmotionEvent] = {}
        for it in repeated:
            turn = it.analysis.turn
            speaker = speakers.get(turn.turn_id, turn.speaker)
            analysis = replace(it.analysis, turn=replace(turn, attributed_speaker=speaker))
            event = await self.recognize(analysis, it.event.utterance)
            if (event.speaker, event.emotion) != (it.event.speaker, it.event.emotion):
                changed[turn.turn_id] = event
        return changed


def open_recognizer(
    conversation: str, models: Models, saved: SavedState | None = None, *, because: bool = False
) -> ConversationRecognizer:
    """Of a conversation that starts, or continues after a restart. Raises ValueError where `saved` does not fit."""
    history = ConversationHistory(models.text_encoder.prompt, models.audio_encoder.history())
    classifier = EmotionClassifier(conversation, models.checkpoint, models.graph, because=because)
    if saved is not None:
        history.restore(saved.history)
        classifier.restore(saved.graph, saved.utterances)
        classifier.shifts.restore(saved.emotions, saved.shifts)
    return ConversationRecognizer(UtteranceEncoder(models.encode_text, history), classifier)

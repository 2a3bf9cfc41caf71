"""From heard turns to emotion events; and again from an earlier turn on, when it is known better who spoke."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.conversation.classifier import EmotionClassifier
from engine.conversation.turn_analysis import TurnAnalysis, UtteranceEncoder
from engine.events import EmotionEvent

_SILENCE = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A turn, what came of it, and the conversation as it was before."""

    heard: TurnAnalysis
    event: EmotionEvent
    describer: UtteranceEncoder
    inference: EmotionClassifier


class ConversationRecognizer:
    """One conversation's describer and graph. Call in the order of the turns.

    Who speaks is part of every input: of the graph's edges, of the words' context, of what a voice is compared with. So
    when earlier turns get other speakers, all since then is read again, and what follows is as if the right ones had
    been known from the start. That reaches `memory_turns` back, and is kept from the first turn with a voice on.
    """

    def __init__(self, describer: UtteranceEncoder, inference: EmotionClassifier, memory_turns: int = 64) -> None:
        self._describer = describer
        self._inference = inference
        self._reads: deque[_Read] = deque(maxlen=memory_turns)

    async def encode_ahead(self, heard: TurnAnalysis) -> TurnAnalysis:
        """See `UtteranceEncoder`."""
        return await self._describer.encode_ahead(heard)

    async def preview(self, heard: TurnAnalysis) -> EmotionEvent:
        """An interim event of a turn under way. Nothing is remembered."""
        return await self._inference.preview(self._describer.preview(heard))

    async def read(self, heard: TurnAnalysis) -> EmotionEvent:
        """The event of the next turn, without what only the moment of publishing knows."""
        ahead = await self._describer.encode_ahead(heard)
        if heard.voice is None and not self._reads:
            return await self._inference.infer(await self._describer.describe(ahead))
        before = self._describer.copy(), self._inference.copy()
        event = await self._inference.infer(await self._describer.describe(ahead))
        light = replace(ahead, turn=replace(heard.turn, pcm=_SILENCE, frames=()))
        self._reads.append(_Read(light, event, *before))
        return event

    async def relabel_speakers(self, speakers: Mapping[int, str]) -> dict[int, EmotionEvent]:
        """These turns have other speakers, by turn. Returns events that are others now in speaker or emotion."""
        turns = [it.heard.turn.turn_id for it in self._reads]
        first = next((n for n, turn_id in enumerate(turns) if turn_id in speakers), None)
        if first is None:
            return {}
        again = list(self._reads)[first:]
        self._describer, self._inference = again[0].describer, again[0].inference
        for _ in again:
            self._reads.pop()
        others: dict[int, EmotionEvent] = {}
        for it in again:
            turn = it.heard.turn
            speaker = speakers.get(turn.turn_id, turn.speaker)
            event = await self.read(replace(it.heard, turn=replace(turn, speaker=speaker)))
            if (event.speaker, event.emotion) != (it.event.speaker, it.event.emotion):
                others[turn.turn_id] = event
        return others

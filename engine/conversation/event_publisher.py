"""Recognises analysed turns in order and publishes their events."""

from dataclasses import replace

from cberl.recent import RecentDict
from engine.conversation.models import Models
from engine.conversation.recognizer import open_recognizer
from engine.conversation.saved_state import SavedState, pack
from engine.conversation.source import MediaSource
from engine.conversation.speaker_attribution import Corrections, SpeakerAttribution
from engine.conversation.turn_analysis import TurnAnalysis
from engine.conversation.turn_queue import PendingTurn
from engine.delivery.hub import Hub
from engine.events import EmotionEvent, SpeakerJoined, SpeakerLeft
from engine.speech.backchannel import is_backchannel
from engine.speech.turn import Turn


class SpeakerNames:
    """Names given to speakers after they joined. The network keeps the original ones."""

    def __init__(self) -> None:
        self._names: RecentDict[str, str] = RecentDict()

    @property
    def all(self) -> dict[str, str]:
        return dict(self._names)

    def rename(self, speaker: str, name: str) -> None:
        self._names[speaker] = name

    def __getitem__(self, speaker: str) -> str:
        return self._names.get(speaker, speaker)


class EventPublisher:
    """One conversation's way from analysed turns to its listeners. Also corrects earlier events (see `recognizer`)."""

    def __init__(
        self,
        conversation: str,
        models: Models,
        hub: Hub,
        names: SpeakerNames,
        saved: SavedState | None = None,
        *,
        save_text: bool = False,
        because: bool = False,
    ) -> None:
        """`because`: events say which earlier turns moved them."""
        self._conversation = conversation
        self._recognizer = open_recognizer(conversation, models, saved, because=because)
        self._checkpoint = models.checkpoint
        self._save_text = save_text
        self._next_turn_id = saved.next_turn_id if saved else 1
        self._hub = hub
        self._names = names
        self._attribution = SpeakerAttribution()
        self._corrections = Corrections()

    async def encode_ahead(self, analysis: TurnAnalysis) -> TurnAnalysis:
        """Encode the text of a provisional turn, spoken by whoever it seems to be by now."""
        if analysis.speaker_embedding is not None:
            speaker = self._attribution.guess(analysis.turn, analysis.speaker_embedding)
            analysis = replace(analysis, turn=replace(analysis.turn, attributed_speaker=speaker))
        return await self._recognizer.encode_ahead(analysis)

    async def publish_interim(self, analysis: TurnAnalysis, source: MediaSource) -> None:
        """Of a turn in progress. Later events do not depend on it."""
        self._hub.publish(self._timed(await self._recognizer.preview(analysis), analysis.turn, source))

    async def publish(self, pending: PendingTurn) -> None:
        """The next final event. Returns when the event log has it, so that a slow disk slows the sources down."""
        source = pending.source
        analysis = await self._attributed(replace(await pending.analysis, turn=pending.turn), source)
        event = self._timed(await self._recognizer.recognize(analysis), analysis.turn, source)
        self._next_turn_id = max(self._next_turn_id, analysis.turn.turn_id + 1)
        self._hub.publish(event, self._saved() if self._hub.keeps_states else None)
        self._corrections.remember(analysis.turn.turn_id, event)
        await self._hub.flush()
        pending.published.set_result(None)

    def _saved(self) -> bytes:
        """The state after this event, which is stored with it."""
        state = self._recognizer.state(self._names.all, self._next_turn_id)
        return pack(state, self._checkpoint, with_text=self._save_text)

    async def leave(self, source: MediaSource) -> None:
        """Wait for the source's last events; then everybody who was found on its tracks has left."""
        await source.all_published()
        for speaker in sorted(source.other_speakers):
            self._hub.publish(SpeakerLeft(self._conversation, speaker))

    async def _attributed(self, analysis: TurnAnalysis, source: MediaSource) -> TurnAnalysis:
        """With the speaker to whom the voice belongs; corrects earlier events that belong to another speaker."""
        if analysis.speaker_embedding is None:
            return analysis
        found = self._attribution.push(analysis.turn, analysis.speaker_embedding)
        for turn_id, again in (await self._recognizer.relabel_speakers(found.relabelled)).items():
            corrected = self._corrections.correct(turn_id, replace(again, speaker=self._names[again.speaker]))
            if corrected:
                self._hub.publish(corrected)
        for speaker in sorted(found.merged & source.other_speakers):
            source.other_speakers.discard(speaker)
            self._hub.publish(SpeakerLeft(self._conversation, speaker))
        if found.speaker != analysis.turn.track.speaker and found.speaker not in source.other_speakers:
            source.other_speakers.add(found.speaker)
            self._hub.publish(SpeakerJoined(self._conversation, found.speaker))
        return replace(analysis, turn=replace(analysis.turn, attributed_speaker=found.speaker))

    def _timed(self, event: EmotionEvent, turn: Turn, source: MediaSource) -> EmotionEvent:
        """The event with the fields that are known only now."""
        timings_ms = event.timings_ms | {"after_speech": source.clock.after_speech_ms(turn.end_s)}
        backchannel = is_backchannel(event.text or "", turn.duration_s)
        name, lag_s = self._names[event.speaker], source.clock.since_s(turn.decided_s)
        return replace(event, speaker=name, backchannel=backchannel, timings_ms=timings_ms, lag_s=lag_s)

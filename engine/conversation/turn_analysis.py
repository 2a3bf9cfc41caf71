"""From a turn to an utterance: transcript and feature vectors. Heavy work goes to workers, memory stays here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory, TextInput
from cberl.encoders.visual import Seen
from cberl.types import Float32
from engine.conversation.utterance import Utterance
from engine.media import VideoFrame
from engine.runtime.clocks import Stopwatch
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

Transcribe = Callable[[Float32], Awaitable[Transcript]]
EncodeText = Callable[[TextInput], Awaitable[Float32]]
DescribeAudio = Callable[[Float32], Awaitable[Float32]]
EmbedVoice = Callable[[Float32], Awaitable[Float32]]
DescribeVisual = Callable[[tuple[VideoFrame, ...]], Awaitable[Seen | None]]


@dataclass(frozen=True, slots=True, eq=False)
class TurnAnalysis:
    """What can be said of a turn without its past, so that several turns may be worked on at once."""

    turn: Turn
    transcript: Transcript | None  # None: nobody asked for the words
    audio: Float32  # raw; NaN is what does not exist
    visual: Seen | None
    timings_ms: dict[str, float]
    voice: Float32 | None = None  # where voices are told apart
    encoded: tuple[TextInput, Float32] | None = None  # against a past that may have grown since


async def analyze_turn(
    turn: Turn,
    transcribe: Transcribe | None,
    describe_audio: DescribeAudio,
    describe_visual: DescribeVisual,
    embed_voice: EmbedVoice | None = None,
) -> TurnAnalysis:
    """Transcription and whose voice it is where that is asked for, prosody and face, side by side."""
    watch = Stopwatch()

    async def transcribed() -> Transcript | None:
        if transcribe is None:
            return None
        with watch("transcribe"):
            return await transcribe(turn.pcm)

    async def described() -> Float32:
        with watch("describe_audio"):
            return await describe_audio(turn.pcm)

    async def seen() -> Seen | None:
        if not turn.frames:
            return None
        with watch("describe_visual"):
            return await describe_visual(turn.frames)

    async def embedded() -> Float32 | None:
        if embed_voice is None:
            return None
        with watch("voice"):
            return await embed_voice(turn.pcm)

    async with asyncio.TaskGroup() as tasks:
        transcript = tasks.create_task(transcribed())
        audio = tasks.create_task(described())
        visual = tasks.create_task(seen())
        voice = tasks.create_task(embedded())
    return TurnAnalysis(turn, transcript.result(), audio.result(), visual.result(), watch.timings_ms, voice.result())


class UtteranceEncoder:
    """One conversation's encoders: each utterance is seen against those before it. Call in the order of the turns."""

    def __init__(self, encode_text: EncodeText, text_history: TextHistory, audio_history: AudioHistory) -> None:
        self._encode_text = encode_text
        self._text_history = text_history
        self._audio_history = audio_history

    def copy(self) -> "UtteranceEncoder":
        """As it is now, to go on by itself."""
        return UtteranceEncoder(self._encode_text, self._text_history.copy(), self._audio_history.copy())

    async def encode_ahead(self, heard: TurnAnalysis) -> TurnAnalysis:
        """Encode the words against the past as it is now: `describe` need not, where nobody speaks in between."""
        if heard.transcript is None or not heard.transcript.text:
            return heard
        watch = Stopwatch()
        with watch("encode"):
            words = self._text_history.peek(heard.turn.speaker, heard.transcript.text)
            if heard.encoded is not None and heard.encoded[0] == words:
                return heard
            vector = await self._encode_text(words)
        return replace(heard, timings_ms=heard.timings_ms | watch.timings_ms, encoded=(words, vector))

    async def describe(self, heard: TurnAnalysis) -> Utterance:
        """Absent stays absent: no words, no text vector; no usable sound, no audio vector."""
        watch = Stopwatch(heard.timings_ms)
        turn, transcript = heard.turn, heard.transcript
        text = None
        with watch("encode"):
            if transcript and transcript.text:
                words = self._text_history.push(turn.speaker, transcript.text)
                ahead, vector = heard.encoded or (None, None)
                text = vector if ahead == words else await self._encode_text(words)
            audio = self._audio_history.push(turn.speaker, heard.audio)
        visual, quality = (heard.visual.vector, heard.visual.quality) if heard.visual else (None, 0.0)
        return Utterance(turn, transcript, text, audio, visual, quality, watch.timings_ms)

    def preview(self, heard: TurnAnalysis) -> Utterance:
        """What voice and face say of a turn under way. Nothing is remembered."""
        audio = self._audio_history.peek(heard.turn.speaker, heard.audio)
        visual, quality = (heard.visual.vector, heard.visual.quality) if heard.visual else (None, 0.0)
        return Utterance(heard.turn, None, None, audio, visual, quality, heard.timings_ms)

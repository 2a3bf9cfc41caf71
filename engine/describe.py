"""From a turn to an utterance: transcript and feature vectors. Heavy work goes to workers, memory stays here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory, TextInput
from engine.messages import Float32, Transcript, Turn, Utterance
from engine.timing import Stopwatch

Transcribe = Callable[[Float32], Awaitable[Transcript]]
EncodeText = Callable[[TextInput], Awaitable[Float32]]
DescribeAudio = Callable[[Float32], Awaitable[Float32]]


@dataclass(frozen=True, slots=True, eq=False)
class HeardTurn:
    """What can be said of a turn without its past, so that several turns may be worked on at once."""

    turn: Turn
    transcript: Transcript
    audio: Float32  # raw; NaN is what does not exist
    timings_ms: dict[str, float]


async def hear(turn: Turn, transcribe: Transcribe, describe_audio: DescribeAudio) -> HeardTurn:
    """Transcription and audio description, side by side."""
    watch = Stopwatch()

    async def transcribed() -> Transcript:
        with watch("transcribe"):
            return await transcribe(turn.pcm)

    async def described() -> Float32:
        with watch("describe_audio"):
            return await describe_audio(turn.pcm)

    async with asyncio.TaskGroup() as tasks:
        transcript = tasks.create_task(transcribed())
        audio = tasks.create_task(described())
    return HeardTurn(turn, transcript.result(), audio.result(), watch.timings_ms)


class Describer:
    """One conversation's encoders: each utterance is seen against those before it. Call in the order of the turns."""

    def __init__(self, encode_text: EncodeText, text_history: TextHistory, audio_history: AudioHistory) -> None:
        self._encode_text = encode_text
        self._text_history = text_history
        self._audio_history = audio_history

    async def describe(self, heard: HeardTurn) -> Utterance:
        """Absent stays absent: no words, no text vector; no usable sound, no audio vector."""
        watch = Stopwatch()
        turn, transcript = heard.turn, heard.transcript
        text = None
        with watch("encode"):
            if transcript.text:
                text = await self._encode_text(self._text_history.push(turn.speaker, transcript.text))
            audio = self._audio_history.push(turn.speaker, heard.audio)
        timings = heard.timings_ms | watch.timings_ms
        return Utterance(turn, transcript, text, audio, visual=None, timings_ms=timings)

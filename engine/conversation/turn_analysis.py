"""What the models extract from one turn alone, without the conversation before it: words, voice, face, speaker."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

from cberl.encoders.audio import DescribedAudio
from cberl.encoders.text import TextInput
from cberl.encoders.visual import Seen
from cberl.types import Float32
from engine.conversation.faults import result_or_fault
from engine.conversation.models import Models
from engine.events import Missing
from engine.media import Track, VideoFrame
from engine.runtime.clocks import Stopwatch
from engine.runtime.limits import Client
from engine.speech.captions import Captions
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

Given = TypeVar("Given")
Result = TypeVar("Result")
Model = Callable[[Given], Awaitable[Result]]
Transcribe = Model[Float32, Transcript]
DescribeAudio = Model[Float32, DescribedAudio]
DescribeVisual = Model[tuple[VideoFrame, ...], Seen | None]
EmbedSpeaker = Model[Float32, Float32]
OnWords = Callable[[Transcript], None]

PREVIEW_MS = 100.0  # a recogniser slower than this would delay final turns by the text of interim events
SPARE_LOAD = 0.5  # of the audio encoder, above which interim events would take what final turns need


@dataclass(frozen=True, slots=True, eq=False)
class TurnAnalysis:
    """The results for one turn. They do not depend on other turns, so several turns are analysed at once."""

    turn: Turn
    transcript: Transcript | None
    audio: DescribedAudio | None
    visual: Seen | None
    timings_ms: dict[str, float]
    speaker_embedding: Float32 | None = None  # float32[d] of length 1, where speakers are distinguished
    encoded: tuple[TextInput, Float32 | None] | None = None  # text vector of the conversation as it was then, or none
    missing: dict[str, Missing] = field(default_factory=dict)  # see EmotionEvent


async def analyze_turn(
    turn: Turn,
    transcribe: Transcribe | None,
    describe_audio: DescribeAudio | None,
    describe_visual: DescribeVisual,
    embed_speaker: EmbedSpeaker | None = None,
    on_words: OnWords | None = None,
) -> TurnAnalysis:
    """Run the models concurrently; those that are None are not asked. The result of one that fails is `missing`.

    `on_words` is called with the transcript while the other models may still be running.
    """
    watch = Stopwatch()
    missing: dict[str, Missing] = {}

    async def attempt(part: str, stage: str, model: Model[Given, Result] | None, given: Given) -> Result | None:
        if model is None:
            return None
        with watch(stage):
            return await result_or_fault(part, model(given), missing)

    async def words() -> Transcript | None:
        transcript = await attempt("text", "transcribe", transcribe, turn.pcm)
        if transcript and on_words:
            on_words(transcript)
        return transcript

    look = describe_visual if turn.frames else None
    async with asyncio.TaskGroup() as tasks:
        audio = tasks.create_task(attempt("audio", "describe_audio", describe_audio, turn.pcm))
        transcript = tasks.create_task(words())
        visual = tasks.create_task(attempt("visual", "describe_visual", look, turn.frames))
        speaker = tasks.create_task(attempt("speaker", "voice", embed_speaker, turn.pcm))
    results = transcript.result(), audio.result(), visual.result()
    return TurnAnalysis(turn, *results, watch.timings_ms, speaker.result(), missing=missing)


class TurnAnalyzer:
    """Analyses turns of one conversation with the shared models.

    `diarize`: whether speakers who share a track are distinguished. `client` has opened the conversation.
    """

    def __init__(self, models: Models, diarize: Literal["auto", "on", "off"], client: Client = ()) -> None:
        self._models = models
        key = client[:1], self  # addresses, and the conversations of one address, take turns at every model
        self._transcribe = partial(models.transcribe, key=key)
        self._describe_audio = partial(models.describe_audio, key=key)
        self._describe_visual = partial(models.describe_visual, key=key)
        self._embed_speaker = partial(models.embed_speaker, key=key) if models.embed_speaker else None
        self._diarize = diarize
        self._transcribe_ms = float("inf")  # of the last turn

    @property
    def busy(self) -> bool:
        """Whether final turns of any conversation wait for the audio encoder, or soon may."""
        return bool(self._models.describe_audio.pending) or self._models.describe_audio.load > SPARE_LOAD

    @property
    def previews_text(self) -> bool:
        """Whether the recogniser is idle, and fast enough for the text of turns in progress."""
        return not self._models.transcribe.pending and self._transcribe_ms <= PREVIEW_MS

    @property
    def transcriber_busy(self) -> bool:
        """Whether another turn would wait for the recogniser."""
        return self._models.transcribe.busy

    def is_shared(self, track: Track) -> bool:
        """Whether several people may speak on this track."""
        return self._models.embed_speaker is not None and (self._diarize == "on" or not track.named)

    async def analyze(
        self, turn: Turn, captions: Captions, on_words: OnWords | None = None, *, awaited: bool = True
    ) -> TurnAnalysis:
        """Everything. Captions, where the speaker has them, take the place of speech to text. See `analyze_turn`.

        `awaited`: whether somebody waits for it. If not, the largest models serve others before.
        """
        captioned = captions.expected(turn.track.speaker)
        transcribe = captions.instead_of(partial(self._transcribe, awaited=awaited), turn)
        text_only = turn.track.analyse != "all"
        describe_audio = None if text_only else partial(self._describe_audio, awaited=awaited)
        embed_speaker = self._embed_speaker if self.is_shared(turn.track) and not text_only else None
        analysis = await analyze_turn(turn, transcribe, describe_audio, self._describe_visual, embed_speaker, on_words)
        if not captioned:
            self._transcribe_ms = analysis.timings_ms["transcribe"]
        return analysis

    async def preview(self, turn: Turn, *, with_text: bool) -> TurnAnalysis:
        """Voice and face of a turn in progress, and its words so far."""
        transcribe = self._transcribe if with_text else None
        return await analyze_turn(turn, transcribe, self._describe_audio, self._describe_visual)

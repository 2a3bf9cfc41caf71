"""Captions of the call platform, used in place of speech to text."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from cberl.types import Float32
from engine.media import AudioChunk, Caption
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

WAIT_S = 2.0  # for captions of a turn that has ended; then it is transcribed
SLACK_S = 0.5  # tolerance between the times of captions and of turns
MAX_CAPTIONS = 256  # per speaker; the oldest are discarded
MAX_TEXT_BYTES = 4096  # of one turn; the rest is left out
MAX_MISSED = 3  # turns in a row without the promised captions, after which none are waited for until one comes

Transcribe = Callable[[Float32], Awaitable[Transcript]]


class Captions:
    """One source's captions, by speaker, in the conversation's time."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._captions: dict[str, deque[Caption]] = {}  # of captioned speakers
        self._missed: Counter[str] = Counter()  # turns without captions since the last caption
        self._arrived = asyncio.Event()

    def take_from(self, chunk: AudioChunk) -> None:
        """Remember the captions that came with a chunk, and whether its speaker is captioned at all."""
        if chunk.track.captioned or chunk.captions:
            self._captions.setdefault(chunk.track.speaker, deque(maxlen=MAX_CAPTIONS)).extend(chunk.captions)
        if chunk.captions:
            self._missed.pop(chunk.track.speaker, None)
            self._arrived.set()
            self._arrived = asyncio.Event()  # for those that wait from now on

    def expected(self, speaker: str) -> bool:
        """Whether this speaker has captions, and not only the promise of them."""
        return speaker in self._captions and self._missed[speaker] < MAX_MISSED

    def instead_of(self, transcribe: Transcribe, turn: Turn) -> Transcribe:
        """`transcribe`, or for a captioned speaker the text of the turn's captions, if they come in time."""
        return partial(self._read, transcribe, turn) if self.expected(turn.speaker) else transcribe

    async def _read(self, transcribe: Transcribe, turn: Turn, pcm: Float32) -> Transcript:
        try:
            async with asyncio.timeout(self._wait_s):
                while not self._complete(turn):
                    await self._arrived.wait()
        except TimeoutError:
            pass
        own = [it for it in self._captions[turn.speaker] if _belongs(it, turn)]
        if own:
            return _joined(own)
        self._missed[turn.speaker] += 1
        return await transcribe(pcm)

    def _complete(self, turn: Turn) -> bool:
        """Captions come in order: the one that reaches the end of the turn is its last."""
        return any(it.end_s >= turn.end_s - SLACK_S for it in self._captions[turn.speaker])


def _belongs(caption: Caption, turn: Turn) -> bool:
    return turn.start_s - SLACK_S / 2 <= (caption.start_s + caption.end_s) / 2 <= turn.end_s + SLACK_S / 2


def _joined(captions: Iterable[Caption]) -> Transcript:
    ordered = sorted(captions, key=lambda it: it.start_s)
    known = [it.confidence for it in ordered if it.confidence is not None]
    return Transcript(
        text=_shortened(" ".join(it.text.strip() for it in ordered)),
        language=ordered[0].language,
        confidence=min(known) if known else None,
        source="captions",
    )


def _shortened(text: str) -> str:
    """At most MAX_TEXT_BYTES of it, up to the end of a word where there is one."""
    if len(text.encode()) <= MAX_TEXT_BYTES:
        return text
    kept = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    return kept.rpartition(" ")[0] or kept

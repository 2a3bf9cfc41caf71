"""Speech to text. A transcriber is blocking code, run off the event loop by a `Worker`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cberl.types import Float32
from engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. `confidence` in 0..1, or None where it is unknown. `language`: an ISO 639 code, or ""."""

    text: str
    language: str
    confidence: float | None
    source: str


class TranscriberError(EngineError):
    """The recogniser cannot be loaded; the message says why and what to do."""


class Transcriber(Protocol):
    """What a recogniser is to the pipeline: `Worker(t.transcribe, name=t.name)`."""

    @property
    def name(self) -> str:
        """The `source` of its transcripts."""

    @property
    def parallel(self) -> int:
        """How many calls of `transcribe` may run at once."""

    def transcribe(self, clips: Sequence[Float32]) -> list[Transcript]:
        """One transcript per clip, float32[n] mono 16 kHz in -1..1; "" where nothing was said.

        A result depends on its clip alone.
        """

"""Speech to text. A transcriber is blocking code, run off the event loop by a `Worker`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cberl.types import Float32
from engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. `confidence` in 0..1, or None where the recogniser gives none."""

    text: str
    language: str
    confidence: float | None
    source: str


class TranscriberError(EngineError):
    """The recogniser asked for cannot be loaded; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """Of a clip that is still growing: `pcm` so far, float32[n] mono 16 kHz in -1..1."""

    pcm: Float32


class Transcriber(Protocol):
    """What a recogniser is to the pipeline: `Worker(t.transcribe, name=t.name, kind=t.kind)`."""

    @property
    def name(self) -> str:
        """What stands as `source` in its transcripts."""

    @property
    def kind(self) -> Literal["thread", "process"]:
        """Where it must run: a process, if it would hold the GIL while it decodes."""

    @property
    def follows(self) -> bool:
        """Whether it takes a `Beginning` as well, to have less left to do when the whole clip comes.

        Its answer is what was heard so far. Whether it was given any changes nothing in what it hears in the end.
        """

    def transcribe(self, clips: Sequence[Float32]) -> list[Transcript]:
        """One transcript a clip, float32[n] mono 16 kHz in -1..1; "" where nothing was said.

        A result depends on its clip alone. The first call may load the model, so a second of silence sent at
        start makes a recogniser ready.
        """

"""A turn with everything that the models extracted from it."""

from dataclasses import dataclass, field

from cberl.types import Float32
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """A turn, understood: float32[d] a modality, or None where the modality is absent.

    `visual_quality` in 0..1 says how well the face could be seen.
    """

    turn: Turn
    transcript: Transcript | None
    text: Float32 | None
    audio: Float32 | None
    visual: Float32 | None
    visual_quality: float = 1.0
    timings_ms: dict[str, float] = field(default_factory=dict)

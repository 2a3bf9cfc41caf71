"""A turn with the feature vectors that the network reads."""

from dataclasses import dataclass, field

from cberl.types import Float32
from engine.events import Missing
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """float32[d] per modality, or None where the modality is absent.

    `visual_quality` in 0..1 says how well the face could be seen; `vocal_events` such as "laughter" were heard.
    """

    turn: Turn
    transcript: Transcript | None
    text: Float32 | None
    audio: Float32 | None
    visual: Float32 | None
    visual_quality: float = 1.0
    vocal_events: tuple[str, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)

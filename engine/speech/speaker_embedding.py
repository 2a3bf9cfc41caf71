"""Speaker embeddings: what distinguishes voices. The encoder itself, in `ge2e.py`, needs PyTorch."""

import importlib.util
from pathlib import Path
from typing import Protocol

from cberl.types import Float32
from engine.errors import EngineError


class SpeakerEncoderError(EngineError):
    """The speaker encoder is missing or unusable."""


class SpeakerEncoder(Protocol):
    """Turns clips into vectors that are similar for the same speaker."""

    def embed(self, clips: list[Float32]) -> list[Float32]:
        """float32[d] of length 1 per clip; clips are float32[n] mono 16 kHz in -1..1."""


def load_speaker_encoder(path: str = "") -> SpeakerEncoder:
    """The encoder in this file, or the one in the installed wheel. Raises SpeakerEncoderError."""
    weights = Path(path) if path else _find_weights()
    try:
        from engine.speech.ge2e import GE2E
    except ModuleNotFoundError as error:
        raise SpeakerEncoderError(
            f"telling voices apart needs {error.name}: pip install 'cberl-engine[diarize]'"
        ) from error
    return GE2E(weights)


def _find_weights() -> Path:
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise SpeakerEncoderError(
            "telling voices apart needs a speaker encoder: pip install 'cberl-engine[diarize]', "
            "then pip install --no-deps resemblyzer"
        )
    return Path(spec.submodule_search_locations[0]) / "pretrained.pt"

"""What a conversation needs to continue after a restart of the engine: its graph, its histories and its names.

About 9 kB, and up to as much for each of the latest speakers. Speaker embeddings are never part of it, the words of the
last turns only `with_text`.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cberl.encoders.conversation import HistoryState
from cberl.live_checkpoint import LiveCheckpoint
from cberl.step.state import ConversationState, initial_state
from cberl.types import Float32, Float64
from engine.events import Shift

LARGEST = 1e12  # number in a state: in float32, its square and more are finite
MAX_SAVED_SPEAKERS = 16  # the latest, of whom it is saved how they usually sound

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """`emotions` and `shifts` are by speaker, as in `Shifts`; `names` were given to speakers after they joined.

    `utterances` are the names of those in the graph's window, the latest last; an older state does not have them.
    """

    graph: ConversationState
    history: HistoryState
    emotions: dict[str, str]
    shifts: dict[str, Shift]
    names: dict[str, str]
    next_turn_id: int
    utterances: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Shift:
    from_: str
    turns_ago: NonNegativeInt


@dataclass(frozen=True)
class _About:
    """What is saved beside the arrays. `speakers` are those of the audio's arrays, in order."""

    model: str
    window: tuple[str, ...]
    text: tuple[tuple[str, str], ...]
    speakers: tuple[str, ...]
    emotions: dict[str, str]
    shifts: dict[str, _Shift]
    names: dict[str, str]
    next_turn_id: PositiveInt
    utterances: tuple[str, ...] = ()


_ABOUT = TypeAdapter(_About)


def pack(state: SavedState, checkpoint: LiveCheckpoint, *, with_text: bool) -> bytes:
    """For `unpack`, with the same checkpoint."""
    audio = dict(list(state.history.audio.items())[-MAX_SAVED_SPEAKERS:])
    about = {
        "model": model_key(checkpoint),
        "window": state.graph.speakers,
        "text": state.history.text if with_text else (),
        "speakers": list(audio),
        "emotions": state.emotions,
        "shifts": {name: asdict(shift) for name, shift in state.shifts.items()},
        "names": state.names,
        "next_turn_id": state.next_turn_id,
        "utterances": state.utterances,
    }
    arrays: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "hidden": state.graph.hidden,
        "layers": state.graph.layers,
    }
    arrays |= {f"audio{n}": moments.astype(np.float32) for n, moments in enumerate(audio.values())}
    return save(arrays)


def unpack(packed: bytes, checkpoint: LiveCheckpoint) -> SavedState | None:
    """None, and a line in the log, where it is damaged or belongs to another checkpoint."""
    try:
        arrays = load(packed)
        about = _ABOUT.validate_json(arrays["about"].tobytes())
        if about.model != model_key(checkpoint):
            log.warning("a conversation starts from nothing: its state was saved with another checkpoint")
            return None
        start = initial_state(checkpoint.config)
        hidden, layers = _floats(arrays["hidden"], start.hidden.shape), _floats(arrays["layers"], start.layers.shape)
        audio: dict[str, Float64] = {
            name: _floats(arrays[f"audio{n}"], arrays["audio0"].shape).astype(np.float64)
            for n, name in enumerate(about.speakers)
        }
        return SavedState(
            ConversationState(hidden, layers, about.window),
            HistoryState(about.text, audio),
            about.emotions,
            {name: Shift(shift.from_, shift.turns_ago) for name, shift in about.shifts.items()},
            about.names,
            about.next_turn_id,
            about.utterances,
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        log.warning("a conversation starts from nothing: its saved state cannot be read: %r", error)
        return None


def _floats(array: NDArray[Any], shape: tuple[int, ...]) -> Float32:
    """Raises ValueError unless it is float32 of this shape, without numbers that would spoil every later result."""
    if array.dtype != np.float32 or array.shape != shape or not (np.abs(array) < LARGEST).all():
        raise ValueError(f"expected float32 of shape {shape} and moderate size, not {array.dtype} of {array.shape}")
    return array


def model_key(checkpoint: LiveCheckpoint) -> str:
    """Of a network and its encoders: the state means nothing to others."""
    described = json.dumps([checkpoint.name, asdict(checkpoint.config), checkpoint.encoders], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()

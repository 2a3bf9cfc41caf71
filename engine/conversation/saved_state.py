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
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cberl.encoders.conversation import HistoryState
from cberl.live_checkpoint import LiveCheckpoint
from cberl.step.state import ConversationState
from cberl.types import Float64
from engine.events import Shift

MAX_SAVED_SPEAKERS = 16  # the latest, of whom it is saved how they usually sound

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """`emotions` and `shifts` are by speaker, as in `Shifts`; `names` were given to speakers after they joined."""

    graph: ConversationState
    history: HistoryState
    emotions: dict[str, str]
    shifts: dict[str, Shift]
    names: dict[str, str]
    next_turn_id: int


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
        about = json.loads(arrays["about"].tobytes())
        if about["model"] != model_key(checkpoint):
            log.warning("a conversation starts from nothing: its state was saved with another checkpoint")
            return None
        audio: dict[str, Float64] = {
            name: arrays[f"audio{n}"].astype(np.float64) for n, name in enumerate(about["speakers"])
        }
        return SavedState(
            ConversationState(arrays["hidden"], arrays["layers"], tuple(about["window"])),
            HistoryState(tuple((speaker, text) for speaker, text in about["text"]), audio),
            about["emotions"],
            {name: Shift(**shift) for name, shift in about["shifts"].items()},
            about["names"],
            about["next_turn_id"],
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        log.warning("a conversation starts from nothing: its saved state cannot be read: %r", error)
        return None


def model_key(checkpoint: LiveCheckpoint) -> str:
    """Of a network and its encoders: the state means nothing to others."""
    described = json.dumps([checkpoint.name, asdict(checkpoint.config), checkpoint.encoders], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()

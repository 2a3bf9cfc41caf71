"""How much each earlier utterance, and each modality, moved the emotion of the newest utterance, without training.

The step is repeated without the edges from one earlier utterance, in all graph layers, and without one modality of the
newest one. By so much as the logit of the winning emotion falls, this utterance or modality has raised it; a negative
number says that it was against this emotion. What reached the new utterance from earlier ones in other ways, in the
context's hidden state and in the words that the text encoder reads, is not counted.
"""

from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from cberl.step.state import ConversationState, StepInput

MAX_INFLUENCES = 8  # earlier utterances; with the utterance itself and three modalities, a batch has at most 12 rows


@dataclass(frozen=True, slots=True)
class Influences:
    """On the logit of the winning emotion: of earlier utterances, the latest first, and of modalities by name."""

    utterances: list[float] = field(default_factory=list)
    modalities: dict[str, float] = field(default_factory=dict)


def with_each_left_out(state: ConversationState, utterance: StepInput) -> list[StepInput]:
    """The utterance; without the edges from each earlier one, the latest first; without each of its modalities."""
    earlier = range(1, min(len(state.speakers), MAX_INFLUENCES) + 1)
    without = [replace(utterance, x={**utterance.x, name: None}) for name in _several(utterance)]
    return [utterance, *(replace(utterance, ignored=distance) for distance in earlier), *without]


def influences(utterance: StepInput, logits: NDArray[np.floating], winner: int) -> Influences:
    """`logits` (1 + K + M, C): of `with_each_left_out`, or (1, C), of the utterance alone. `winner`: a class."""
    weights: list[float] = (logits[0, winner] - logits[1:, winner]).tolist()
    if not weights:
        return Influences()
    names = _several(utterance)
    earlier = len(weights) - len(names)
    modalities = {name: it for name, it in zip(names, weights[earlier:], strict=True) if isfinite(it)}
    return Influences(weights[:earlier], modalities)


def _several(utterance: StepInput) -> list[str]:
    """The modalities that are present; none where it is only one, without which nothing would be left to compare."""
    present = [name for name, x in utterance.x.items() if x is not None]
    return present if len(present) > 1 else []

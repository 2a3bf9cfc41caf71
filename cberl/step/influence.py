"""How much each earlier utterance moved the emotion of the newest one, without training.

The step is repeated without the edges from one earlier utterance, in all graph layers. By so much as the logit of the
winning emotion falls, this utterance has raised it; a negative number says that it was against this emotion. What
reached the new utterance in other ways, in the context's hidden state and in the words that the text encoder reads, is
not counted.
"""

import numpy as np
from numpy.typing import NDArray

from cberl.step.state import ConversationState, StepInput

MAX_INFLUENCES = 8  # with the utterance itself a batch of 9


def with_each_left_out(state: ConversationState, utterance: StepInput) -> list[StepInput]:
    """The utterance, and then again without the edges from each earlier one, the latest first: 1 + K inputs."""
    earlier = min(len(state.speakers), MAX_INFLUENCES)
    return [utterance, *(StepInput(utterance.speaker, utterance.x, distance) for distance in range(1, earlier + 1))]


def influences(logits: NDArray[np.floating], winner: int) -> list[float]:
    """From the logits (1 + K, C) of `with_each_left_out` and the winning class, for each earlier utterance."""
    weights: list[float] = (logits[0, winner] - logits[1:, winner]).tolist()
    return weights

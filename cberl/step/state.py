"""The state of a conversation between two utterances, and the next utterance, as arrays. Independent of PyTorch.

No edge leads from a later utterance to an earlier one, so earlier states never change. Of the past, a new utterance
needs the GRU's hidden state and, for each graph layer, the layer's input at the last P utterances. The cost is the same
whatever the length of the conversation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cberl.checkpoint_files import CheckpointError
from cberl.config import ModelConfig
from cberl.types import Float32

# The relations of a causal graph, as in `cberl.graph.Relation`.
SELF, SAME_SPEAKER, OTHER_SPEAKER = range(3)
CAUSAL_RELATIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class ConversationState:
    """The network's state of a conversation. Immutable: a step returns the next one.

    hidden: float32[hidden]; layers: for each graph layer, its input at the last utterances, float32[layers, P, hidden],
    newest last, zeros where there was none; speakers: of these utterances, oldest first, at most P.
    """

    hidden: Float32
    layers: Float32
    speakers: tuple[str, ...]

    def after(self, utterance: "StepInput", hidden: Float32, layers: Float32) -> "ConversationState":
        """The state after this utterance, with copies of the arrays, because a view would keep the whole batch."""
        if utterance.ignored:  # then the step was only asked what the logits would be
            return self
        past = layers.shape[1]
        return ConversationState(
            hidden.copy(), layers.copy(), (*self.speakers, utterance.speaker)[-past:] if past else ()
        )


@dataclass(frozen=True, slots=True, eq=False)
class StepInput:
    """One new utterance: float32[dim] per modality; no entry, or None, if the modality is absent.

    `ignored`: no edge leads to it from the utterance at this distance, 1 = the previous one; 0: all edges are there.
    """

    speaker: str
    x: Mapping[str, Float32 | None]
    ignored: int = 0


class StepNetwork(Protocol):
    """A network that reads conversations utterance by utterance."""

    @property
    def config(self) -> ModelConfig: ...

    def on_cpu(self) -> "StepNetwork":
        """The same on the CPU: a copy, unless it is there."""
        ...

    def step(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        """The next utterance of B independent conversations -> logits float32[B, classes], and the states after them.

        The given states are not changed: for an interim result, discard the returned ones. With `ignored`, the state
        that is returned is the given one. No result depends on the other conversations, to 1e-5. Raises `ValueError` if
        a modality has the wrong size.
        """
        ...


def initial_state(config: ModelConfig) -> ConversationState:
    """The state before the first utterance. Raises `CheckpointError` for a network that is not causal."""
    require_causal(config)
    layers = np.zeros((config.graph_layers, config.past, config.hidden_dim), np.float32)
    return ConversationState(np.zeros(config.hidden_dim, np.float32), layers, speakers=())


def require_causal(config: ModelConfig) -> None:
    """Raises `CheckpointError` for a network that cannot run utterance by utterance."""
    if not config.streams:
        raise CheckpointError(
            f"this network looks ahead (direction {config.direction}, lookahead {config.lookahead}) and cannot run "
            "utterance by utterance: give it whole dialogues, or use one with direction causal and lookahead 0"
        )


def stack_inputs(config: ModelConfig, inputs: Sequence[StepInput]) -> tuple[dict[str, Float32], Float32]:
    """float32[B, dim] per modality of the network, and 1.0 where it is present, else 0.0: float32[modalities, B]."""
    x: dict[str, Float32] = {}
    present = np.zeros((len(config.modality_dims), len(inputs)), np.float32)
    for row, (name, dim) in enumerate(config.modality_dims.items()):
        x[name] = np.zeros((len(inputs), dim), np.float32)
        for b, one in enumerate(inputs):
            value = one.x.get(name)
            if value is None:
                continue
            if value.shape != (dim,):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, this network reads ({dim},)")
            x[name][b], present[row, b] = value, 1.0
    return x, present

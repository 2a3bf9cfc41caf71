"""CBERL one utterance at a time, with the same weights and results as `CBERL.forward`.

No edge leads from a later utterance to an earlier one, so earlier states never change. Of the past, a new utterance
needs the GRU's hidden state and, for each graph layer, the layer's input at the last P utterances. The cost is O(P) per
utterance, whatever the length of the conversation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cberl.graph import Edges, window_edges
from cberl.model import CBERL
from cberl.nn.fusion import Modalities, Present
from cberl.pretrained import CheckpointError


@dataclass(frozen=True, slots=True, eq=False)
class ConversationState:
    """The network's state of a conversation. Immutable: `step` returns the next one."""

    hidden: Tensor  # (hidden,)
    layers: tuple[Tensor, ...]  # for each graph layer, its input at the last utterances: (K <= P, hidden)
    speakers: tuple[str, ...]  # of these utterances, oldest first, length K

    def to(self, like: Tensor) -> "ConversationState":
        """With the type of this tensor, and on its device."""
        return ConversationState(self.hidden.to(like), tuple(it.to(like) for it in self.layers), self.speakers)


@dataclass(frozen=True, slots=True, eq=False)
class StepInput:
    """One new utterance: (dim,) per modality; no entry, or None, if the modality is absent."""

    speaker: str
    x: dict[str, Tensor | None]


def initial_state(model: CBERL) -> ConversationState:
    """The state before the first utterance. Raises `CheckpointError` for a network that is not causal."""
    _require_causal(model)
    weight = model.to_graph.weight
    empty = weight.new_zeros(0, model.config.hidden_dim)
    return ConversationState(
        weight.new_zeros(model.config.hidden_dim), (empty,) * model.config.graph_layers, speakers=()
    )


@torch.inference_mode()
def step(
    model: CBERL, states: Sequence[ConversationState], inputs: Sequence[StepInput]
) -> tuple[Tensor, list[ConversationState]]:
    """The next utterance of B independent conversations -> logits (B, classes) and the states after them.

    The given states are not changed: for an interim result, discard the returned ones. Raises `ValueError` if a
    modality has the wrong size, and `CheckpointError` for a network that is not causal.
    """
    _require_causal(model)
    x, present = _stack(model, inputs)
    z = model.fusion(x, present).z
    context = model.context.step(z, torch.stack([state.hidden for state in states]))
    edges, last = _window_edges(model, states, inputs)
    node = model.node(z, context)  # (B, hidden)
    entered: list[Tensor] = []
    for depth, layer in enumerate(model.graph):
        entered.append(node)
        rows = [part for b, state in enumerate(states) for part in (state.layers[depth], node[b : b + 1])]
        node = layer(torch.cat(rows), *edges)[last]  # (B * (K + 1), hidden) -> (B, hidden)
    logits: Tensor = model.head(context, node)
    return logits, [_advance(model, states[b], inputs[b], context[b], entered, b) for b in range(len(states))]


def _require_causal(model: CBERL) -> None:
    config = model.config
    if not config.streams:
        raise CheckpointError(
            f"this network looks ahead (direction {config.direction}, lookahead {config.lookahead}) and cannot run "
            "utterance by utterance: give it whole dialogues, or use one with direction causal and lookahead 0"
        )


def _stack(model: CBERL, inputs: Sequence[StepInput]) -> tuple[Modalities, Present]:
    """(B, dim) and bool (B,) per modality of the network."""
    x: Modalities = {}
    present: Present = {}
    like = model.to_graph.weight
    for name, dim in model.config.modality_dims.items():
        given = [one.x.get(name) for one in inputs]
        for value in given:
            if value is not None and value.shape != (dim,):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, this network reads ({dim},)")
        rows = [like.new_zeros(dim) if value is None else value.to(like) for value in given]
        x[name] = torch.stack(rows)
        present[name] = torch.tensor([value is not None for value in given], device=like.device)
    return x, present


def _window_edges(
    model: CBERL, states: Sequence[ConversationState], inputs: Sequence[StepInput]
) -> tuple[Edges, Tensor]:
    """Edges into the newest row of each conversation's window, and the indices of those rows, int[B]."""
    windows = [(*state.speakers, one.speaker) for state, one in zip(states, inputs, strict=True)]
    device = model.to_graph.weight.device
    lengths = torch.tensor([len(window) for window in windows], device=device)
    names = [{name: i for i, name in enumerate(window)} for window in windows]
    speaker = torch.tensor([names[b][name] for b, window in enumerate(windows) for name in window], device=device)
    dialogue = torch.repeat_interleave(torch.arange(len(windows), device=device), lengths)
    edges = window_edges(dialogue, speaker, model.config.past)
    last = lengths.cumsum(0) - 1
    return edges.select(torch.isin(edges.edge_index[1], last)), last


def _advance(
    model: CBERL, state: ConversationState, one: StepInput, hidden: Tensor, entered: Sequence[Tensor], row: int
) -> ConversationState:
    past = model.config.past
    layers = tuple(torch.cat([old, new[row : row + 1]])[-past:] for old, new in zip(state.layers, entered, strict=True))
    return ConversationState(hidden.clone(), layers, (*state.speakers, one.speaker)[-past:])

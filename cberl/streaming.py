"""CBERL one utterance at a time, with the same weights and results as `CBERL.forward`, in PyTorch.

The live engine uses it on a GPU, as CUDA graphs where it can (`cberl.cuda_step`); on a CPU it runs the same step as an
ONNX graph (`cberl.step`).
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from cberl.config import ModelConfig
from cberl.graph import Edges, window_edges
from cberl.model import CBERL
from cberl.step.state import ConversationState, StepInput, initial_state, require_causal, stack_inputs
from cberl.types import Float32

__all__ = ["ConversationState", "StepInput", "TorchStep", "initial_state", "step"]


class TorchStep:
    """A `StepNetwork` of a `CBERL` in evaluation mode, on its device."""

    def __init__(self, model: CBERL) -> None:
        self.model = model

    def on_cpu(self) -> "TorchStep":
        """See `StepNetwork`."""
        if self.model.to_graph.weight.device.type == "cpu":
            return self
        return TorchStep(deepcopy(self.model).cpu())

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def step(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        """See `StepNetwork`."""
        return step(self.model, states, inputs)


@torch.inference_mode()
def step(
    model: CBERL, states: Sequence[ConversationState], inputs: Sequence[StepInput]
) -> tuple[Float32, list[ConversationState]]:
    """See `StepNetwork.step`. Raises `CheckpointError` for a network that is not causal."""
    require_causal(model.config)
    device, past = model.to_graph.weight.device, model.config.past
    x, present = stack_inputs(model.config, inputs)
    z = model.fusion(
        {name: torch.from_numpy(rows).to(device) for name, rows in x.items()},
        {name: torch.from_numpy(row > 0).to(device) for name, row in zip(x, present, strict=True)},
    ).z
    context = model.context.step(z, _stacked([state.hidden for state in states], device))
    edges, last = _window_edges(model, states, inputs)
    node = model.node(z, context)  # (B, hidden)
    windows = _stacked([state.layers for state in states], device)  # (B, layers, P, hidden)
    filled = [past - len(state.speakers) for state in states]  # where each window begins
    entered = []
    for depth, layer in enumerate(model.graph):
        entered.append(node)
        rows = [part for b, first in enumerate(filled) for part in (windows[b, depth, first:], node[b : b + 1])]
        node = layer(torch.cat(rows), *edges)[last]  # (B * (K + 1), hidden) -> (B, hidden)
    logits: Float32 = model.head(context, node).cpu().numpy()
    after = windows
    if entered:
        after = torch.cat([windows, torch.stack(entered, dim=1).unsqueeze(2)], dim=2)[:, :, 1:]
    hidden, layers = context.cpu().numpy(), after.cpu().numpy()
    return logits, [
        state.after(one, hidden[b], layers[b]) for b, (state, one) in enumerate(zip(states, inputs, strict=True))
    ]


def _stacked(arrays: Sequence[Float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)


def _window_edges(
    model: CBERL, states: Sequence[ConversationState], inputs: Sequence[StepInput]
) -> tuple[Edges, Tensor]:
    """Edges into the newest row of each conversation's window, without ignored ones; and these rows, int[B]."""
    windows = [(*state.speakers, one.speaker) for state, one in zip(states, inputs, strict=True)]
    device = model.to_graph.weight.device
    lengths = torch.tensor([len(window) for window in windows], device=device)
    names = [{name: i for i, name in enumerate(window)} for window in windows]
    speaker = torch.tensor([names[b][name] for b, window in enumerate(windows) for name in window], device=device)
    dialogue = torch.repeat_interleave(torch.arange(len(windows), device=device), lengths)
    edges = window_edges(dialogue, speaker, model.config.past)
    last = lengths.cumsum(0) - 1
    ignored = torch.tensor([one.ignored for one in inputs], device=device)[dialogue[edges.edge_index[1]]]
    kept = torch.isin(edges.edge_index[1], last) & ((edges.distance == 0) | (edges.distance != ignored))
    return edges.select(kept), last

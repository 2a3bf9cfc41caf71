"""The network step by step on a CPU, from the ONNX file of `cberl.step.graph`. Needs no PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cberl.config import ModelConfig
from cberl.onnx import open_session, run_session
from cberl.step.state import OTHER_SPEAKER, SAME_SPEAKER, ConversationState, StepInput, stack_inputs
from cberl.types import Float32, Int64


class OnnxStep:
    """A `StepNetwork`. Thread-safe."""

    def __init__(self, config: ModelConfig, network: Path | bytes) -> None:
        """`network`: the ONNX file, or its contents. Raises `EncoderError`."""
        self.config = config
        self._session: Any = open_session(network)

    def on_cpu(self) -> "OnnxStep":
        """See `StepNetwork`."""
        return self

    def step(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        """See `StepNetwork`."""
        past = self.config.past
        x, present = stack_inputs(self.config, inputs)
        feed: dict[str, Float32 | Int64] = {**x, "present": present[:, :, None]}
        feed["hidden"] = np.stack([state.hidden for state in states])
        if self.config.graph_layers:
            feed["layers"] = np.stack([state.layers for state in states], axis=1)
            feed["relation"] = relations(states, inputs, past)
        logits, hidden, *layers = run_session(self._session, feed)
        return logits, [
            state.after(one, hidden[b], layers[0][:, b] if layers else state.layers)
            for b, (state, one) in enumerate(zip(states, inputs, strict=True))
        ]


def relations(states: Sequence[ConversationState], inputs: Sequence[StepInput], past: int) -> Int64:
    """The relation of each utterance in the window to the new one, int64[B, P], newest last; -1 = there is none."""
    rows = [
        [-1] * (past - len(state.speakers))
        + [SAME_SPEAKER if name == one.speaker else OTHER_SPEAKER for name in state.speakers]
        for state, one in zip(states, inputs, strict=True)
    ]
    for row, one in zip(rows, inputs, strict=True):
        if one.ignored:
            row[-one.ignored] = -1
    return np.array(rows, np.int64).reshape(len(rows), past)

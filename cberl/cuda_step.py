"""The network step by step on a GPU as captured CUDA graphs: one launch for a batch instead of a hundred.

A graph has fixed shapes and addresses, so there is one for each of a few batch sizes, with buffers of its own. A batch
takes the smallest that holds it; rows that are left over have an empty window, and are not read.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cberl.model import CBERL
from cberl.padded_step import PaddedStep
from cberl.step.graph import exportable
from cberl.step.network import relations
from cberl.step.state import ConversationState, StepInput, StepNetwork, initial_state, stack_inputs
from cberl.streaming import TorchStep
from cberl.types import Float32

BATCH_SIZES = (1, 4, 16, 64, 256)
TOLERANCE = 1e-3  # of logits, against the same network without graphs
WARM_UP = 3  # runs before a capture, in which libraries choose and allocate

log = logging.getLogger(__name__)


def load_step(folder: Path, device: str) -> StepNetwork:
    """The network of a checkpoint in PyTorch. Raises `CheckpointError`."""
    model = CBERL.from_pretrained(folder, device=device)
    return gpu_step(model) if device.startswith("cuda") else TorchStep(model)


def gpu_step(model: CBERL) -> StepNetwork:
    """With CUDA graphs where the network has them and they give the same results as without."""
    plain = TorchStep(model)
    if not exportable(model.config):
        return plain
    try:
        graphs = CudaGraphStep(model)
        difference = _difference(plain, graphs)
    except RuntimeError as error:  # torch's, of a GPU or driver that cannot capture
        log.warning("the network runs without CUDA graphs, which this GPU cannot capture: %s", error)
        return plain
    if difference > TOLERANCE:
        log.warning("the network runs without CUDA graphs: on this GPU they change logits by %.2g", difference)
        return plain
    return graphs


class CudaGraphStep(TorchStep):
    """The step of a causal `CBERL` with relational attention, in evaluation mode. Thread-safe.

    On a CPU it computes the same in the same buffers, without a graph.
    """

    def __init__(self, model: CBERL, batch_sizes: Sequence[int] = BATCH_SIZES) -> None:
        super().__init__(model)
        padded = PaddedStep(model)
        self._buckets = [_Bucket(padded, size) for size in sorted(batch_sizes)]
        self._lock = Lock()  # a bucket's buffers hold one batch

    def step(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        """See `StepNetwork`."""
        most = self._buckets[-1].size
        parts = [self._run(states[at : at + most], inputs[at : at + most]) for at in range(0, len(states), most)]
        return np.concatenate([logits for logits, _ in parts]), [state for _, after in parts for state in after]

    def _run(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        x, present = stack_inputs(self.config, inputs)
        given: dict[str, NDArray[np.generic]] = {
            **x,
            "present": present > 0,
            "hidden": np.stack([state.hidden for state in states]),
            "layers": np.stack([state.layers for state in states], axis=1),
            "relation": relations(states, inputs, self.config.past),
        }
        bucket = next(it for it in self._buckets if it.size >= len(states))
        with self._lock:
            logits, hidden, layers = bucket.run(given, len(states))
        return logits, [
            state.after(one, hidden[b], layers[:, b]) for b, (state, one) in enumerate(zip(states, inputs, strict=True))
        ]


class _Bucket:
    """Buffers of one batch size on the device, and the graph that reads and writes them."""

    def __init__(self, padded: PaddedStep, size: int) -> None:
        config = padded.model.config
        device = padded.model.to_graph.weight.device
        self.size = size
        self._padded = padded
        shapes: dict[str, tuple[int, ...]] = {name: (size, dim) for name, dim in config.modality_dims.items()}
        shapes |= {"present": (len(shapes), size), "hidden": (size, config.hidden_dim), "relation": (size, config.past)}
        shapes["layers"] = (config.graph_layers, size, config.past, config.hidden_dim)
        kinds = {"present": torch.bool, "relation": torch.int64}
        self._given = {name: torch.zeros(*s, dtype=kinds.get(name), device=device) for name, s in shapes.items()}
        self._given["relation"].fill_(-1)
        self._graph = self._captured() if device.type == "cuda" else None

    @torch.inference_mode()
    def run(self, given: dict[str, NDArray[np.generic]], count: int) -> tuple[Float32, Float32, Float32]:
        """Logits, next hidden and next layers of the first `count` rows."""
        for name, values in given.items():
            _rows(self._given[name], name, count).copy_(torch.from_numpy(values))
        if count < self.size:
            self._given["relation"][count:] = -1
        if self._graph is None:
            self._found = self._compute()
        else:
            self._graph.replay()
        logits, hidden, layers = self._found
        return logits[:count].cpu().numpy(), hidden[:count].cpu().numpy(), layers[:, :count].cpu().numpy()

    def _compute(self) -> tuple[Tensor, Tensor, Tensor]:
        x = {name: self._given[name] for name in self._padded.model.config.modality_dims}
        parts = (self._given[name] for name in ("present", "hidden", "layers", "relation"))
        found: tuple[Tensor, Tensor, Tensor] = self._padded(x, *parts)
        return found

    @torch.inference_mode()
    def _captured(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._found = self._compute()
        return graph


def _rows(buffer: Tensor, name: str, count: int) -> Tensor:
    """The first rows of the batch, whose axis is the second of `present` and `layers`."""
    return buffer[:, :count] if name in ("present", "layers") else buffer[:count]


def _difference(plain: StepNetwork, graphs: StepNetwork) -> float:
    """The largest difference of logits in a short random conversation, in every batch size."""
    random, config = np.random.default_rng(0), plain.config
    worst, state = 0.0, initial_state(config)
    for turn in range(config.past + 2):
        x = {name: random.normal(size=dim).astype(np.float32) for name, dim in config.modality_dims.items()}
        one = StepInput(f"speaker-{turn % 3}", x)
        (wanted,), (after,) = plain.step([state], [one])
        for size in BATCH_SIZES:
            logits, _ = graphs.step([state] * size, [one] * size)
            worst = max(worst, float(np.abs(logits - wanted).max()))
        state = after
    return worst

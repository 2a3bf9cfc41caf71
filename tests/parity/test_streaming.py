"""Step by step the network gives the same results as on the whole dialogue; later utterances change nothing."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cberl.checkpoint import STARTER
from cberl.config import GraphKind, ModelConfig, TrainConfig
from cberl.cuda_step import CudaGraphStep, gpu_step
from cberl.data.features import FeatureSet
from cberl.live_checkpoint import load_live_checkpoint
from cberl.model import CBERL, Batch, Output
from cberl.step.graph import step_graph
from cberl.step.influence import influences, with_each_left_out
from cberl.step.network import OnnxStep
from cberl.step.state import ConversationState, StepInput, StepNetwork, initial_state
from cberl.streaming import TorchStep
from cberl.training.core.train import Trainer
from cberl.types import Float32

CONFIG = ModelConfig(text_dim=24, audio_dim=8, visual_dim=5, latent_dim=16, hidden_dim=16, heads=2, past=4)
TOLERANCE = 1e-5


LEVERS = TrainConfig(
    focal_gamma=2.0, vae_weight=0.1, mask_weight=0.1, contrastive_weight=0.1, ema_decay=0.9, model=CONFIG
)


@pytest.fixture(scope="module")
def model() -> CBERL:
    """Trained for one epoch with all optional terms, which may all affect the network."""
    random = torch.Generator().manual_seed(0)
    count, lengths = 80, torch.tensor([20, 1, 9, 30, 20])
    x = {name: torch.randn(count, dim, generator=random) for name, dim in CONFIG.modality_dims.items()}
    present = {name: torch.rand(count, generator=random) > 0.2 for name in x}
    speaker, label = (torch.randint(0, high, (count,), generator=random) for high in (3, 7))
    features = FeatureSet(x, present, speaker, label, lengths)
    trainer = Trainer(LEVERS, features, features)
    trainer.run_epoch()
    network = trainer.scored.eval()
    with torch.no_grad():
        for layer in network.graph:
            layer.bias.normal_()  # initialised to zero, which would hide a wrong distance or relation
    return network


def onnx_step(model: CBERL) -> OnnxStep:
    return OnnxStep(model.config, step_graph(model.config, {k: v.numpy() for k, v in model.state_dict().items()}))


@pytest.fixture(scope="module", params=["torch", "onnx", "padded"])
def network(model: CBERL, request: pytest.FixtureRequest) -> StepNetwork:
    """Each way in which the live engine runs the network; that of a GPU in small batches and on the CPU."""
    if request.param == "padded":
        return CudaGraphStep(model, batch_sizes=(2, 3))
    return TorchStep(model) if request.param == "torch" else onnx_step(model)


@st.composite
def dialogues(draw: st.DrawFn, max_count: int = 3) -> tuple[Batch, list[int]]:
    """A batch of random dialogues: lengths past the window, up to four speakers, any modality missing anywhere."""
    lengths = draw(st.lists(st.integers(1, 3 * CONFIG.past), min_size=1, max_size=max_count))
    total = sum(lengths)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x, present = {}, {}
    for name, dim in CONFIG.modality_dims.items():
        x[name] = torch.randn(total, dim, generator=generator)
        present[name] = torch.rand(total, generator=generator) > 0.3
        x[name][~present[name]] = float("nan")  # an absent row may hold anything
    speaker = torch.randint(0, 4, (total,), generator=generator)
    return Batch(x, present, speaker, torch.tensor(lengths)), lengths


def stream(network: StepNetwork, batch: Batch) -> list[torch.Tensor]:
    """Each dialogue of the batch, utterance by utterance; dialogues advance together, as concurrent sessions do."""
    lengths = batch.lengths.tolist()
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    states = [initial_state(network.config) for _ in lengths]
    logits: list[list[torch.Tensor]] = [[] for _ in lengths]
    for at in range(max(lengths)):
        alive = [b for b, length in enumerate(lengths) if at < length]
        inputs = [step_input(batch, starts[b] + at) for b in alive]
        out, after = network.step([states[b] for b in alive], inputs)
        for row, b in enumerate(alive):
            states[b] = after[row]
            logits[b].append(torch.from_numpy(out[row]))
    return [torch.stack(rows) for rows in logits]


def step_input(batch: Batch, row: int) -> StepInput:
    x = {name: values[row].numpy() if batch.present[name][row] else None for name, values in batch.x.items()}
    return StepInput(f"speaker-{int(batch.speaker[row])}", x)


@settings(max_examples=60, deadline=None)
@given(dialogues())
def test_step_by_step_equals_forward(model: CBERL, network: StepNetwork, drawn: tuple[Batch, list[int]]) -> None:
    assert_equals_forward(model, network, *drawn)


@settings(max_examples=30, deadline=None)
@given(dialogues())
def test_influences_equal_those_of_forward_without_the_edges_or_the_modality(
    model: CBERL, network: StepNetwork, drawn: tuple[Batch, list[int]]
) -> None:
    """Those of each dialogue's last utterance, all of one dialogue in one batch."""
    batch, lengths = drawn
    with torch.inference_mode():
        whole = model(batch)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        last, state = int(end) - 1, initial_state(model.config)
        for row in range(int(end) - length, last):
            _, (state,) = network.step([state], [step_input(batch, row)])
        inputs = with_each_left_out(state, step_input(batch, last))
        logits, states = network.step([state] * len(inputs), inputs)
        assert all(it is state for it, row in zip(states, inputs, strict=True) if row.ignored)
        winner = int(whole.logits[last].argmax())
        wanted = [
            float(whole.logits[last, winner] - logits_without(model, whole, last, distance)[winner])
            for distance in range(1, min(length - 1, CONFIG.past) + 1)
        ]
        names = [name for name, present in batch.present.items() if present[last]]
        without = {name: logits_without_modality(model, batch, last, name) for name in names if len(names) > 1}
        found = influences(inputs[0], logits, winner)
        assert found.utterances == pytest.approx(wanted, abs=1e-4)
        assert found.modalities == pytest.approx(
            {name: float((whole.logits[last] - other)[winner]) for name, other in without.items()}, abs=1e-4
        )


@torch.inference_mode()
def logits_without(model: CBERL, whole: Output, target: int, distance: int) -> torch.Tensor:
    """Of one utterance, without the edges from the one at this distance before it."""
    edges = [each.select((each.edge_index[1] != target) | (each.distance != distance)) for each in whole.edges]
    logits: torch.Tensor = model.head(whole.context, model.propagate(whole.node, edges))
    return logits[target]


@torch.inference_mode()
def logits_without_modality(model: CBERL, batch: Batch, target: int, name: str) -> torch.Tensor:
    present = {other: here.clone() for other, here in batch.present.items()}
    present[name][target] = False
    logits: torch.Tensor = model(replace(batch, present=present)).logits[target]
    return logits


def assert_equals_forward(model: CBERL, network: StepNetwork, batch: Batch, lengths: list[int]) -> None:
    with torch.inference_mode():
        whole = model(batch).logits.split(lengths)
    for offline, streamed in zip(whole, stream(network, batch), strict=True):
        assert torch.isfinite(offline).all()
        torch.testing.assert_close(streamed, offline, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    "shape",
    [
        {"past": 0},
        {"past": 1, "heads": 1},
        {"graph_layers": 0},
        {"graph_layers": 3, "skip": False},
        {"audio_dim": 0, "visual_dim": 0},
        {"text_dim": 0, "visual_dim": 17, "latent_dim": 12},
    ],
)
def test_networks_of_other_shapes_equal_forward_as_well(shape: dict[str, int]) -> None:
    torch.manual_seed(0)
    other = CBERL(replace(CONFIG, **shape)).eval()  # type: ignore[arg-type]
    for layer in other.graph:
        torch.nn.init.normal_(layer.bias)
    lengths = [11, 1, 3]
    x = {name: torch.randn(sum(lengths), dim) for name, dim in other.config.modality_dims.items()}
    present = {name: torch.rand(sum(lengths)) > 0.3 for name in x}
    batch = Batch(x, present, torch.arange(sum(lengths)) % 3, torch.tensor(lengths))
    for network in (TorchStep(other), onnx_step(other), CudaGraphStep(other, batch_sizes=(1, 4))):
        assert_equals_forward(other, network, batch, lengths)


def test_cuda_graphs_are_used_where_they_give_the_same_results(model: CBERL) -> None:
    assert isinstance(gpu_step(model), CudaGraphStep)
    assert isinstance(gpu_step(CBERL(replace(CONFIG, graph="rgat")).eval()), TorchStep)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_captured_graphs_equal_the_network_on_a_cpu(model: CBERL) -> None:
    torch.manual_seed(2)
    x = {name: torch.randn(24, dim) for name, dim in CONFIG.modality_dims.items()}
    present = {name: torch.rand(24) > 0.3 for name in x}
    batch = Batch(x, present, torch.arange(24) % 3, torch.tensor([20, 4]))
    captured = gpu_step(deepcopy(model).cuda())
    assert isinstance(captured, CudaGraphStep)
    for offline, streamed in zip(model(batch).logits.split([20, 4]), stream(captured, batch), strict=True):
        torch.testing.assert_close(streamed, offline, atol=1e-4, rtol=0)


def test_a_conversation_continues_with_the_other_way_of_running_the_network(model: CBERL) -> None:
    """Also with the bundled weights: a state that one saved is read by the other."""
    bundled = load_live_checkpoint(STARTER).network
    for one, exported in ((model, onnx_step(model)), (CBERL.from_pretrained(STARTER), bundled)):
        torch.manual_seed(1)
        x = {name: torch.randn(24, dim) for name, dim in one.config.modality_dims.items()}
        present = {name: torch.rand(24) > 0.3 for name in x}
        batch = Batch(x, present, torch.arange(24) % 3, torch.tensor([24]))
        assert_equals_forward(one, Alternating(TorchStep(one), exported), batch, [24])


class Alternating:
    """A `StepNetwork` that takes its networks in turn."""

    def __init__(self, *networks: StepNetwork) -> None:
        self._networks = cycle(networks)
        self.config = networks[0].config

    def on_cpu(self) -> "Alternating":
        return self

    def step(
        self, states: Sequence[ConversationState], inputs: Sequence[StepInput]
    ) -> tuple[Float32, list[ConversationState]]:
        return next(self._networks).step(states, inputs)


@settings(max_examples=40, deadline=None)
@given(dialogues(max_count=1), st.data())
def test_later_utterances_do_not_change_earlier_results(
    model: CBERL, drawn: tuple[Batch, list[int]], data: st.DataObject
) -> None:
    batch, (length,) = drawn
    cut = data.draw(st.integers(1, length))
    kept = torch.arange(length) < cut
    other_x = {name: torch.where(kept.unsqueeze(1), values, 9.0) for name, values in batch.x.items()}
    everything = {name: has | ~kept for name, has in batch.present.items()}
    other_speaker = torch.where(kept, batch.speaker, 3 - batch.speaker)
    with torch.inference_mode():
        before = model(batch).logits[:cut]
        after = model(Batch(other_x, everything, other_speaker, batch.lengths)).logits[:cut]
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None)
@given(dialogues())
def test_a_dialogue_does_not_depend_on_its_batch(model: CBERL, drawn: tuple[Batch, list[int]]) -> None:
    batch, lengths = drawn
    with torch.inference_mode():
        together = model(batch).logits.split(lengths)
        for b, length in enumerate(lengths):
            rows = slice(sum(lengths[:b]), sum(lengths[:b]) + length)
            alone = Batch(
                {name: values[rows] for name, values in batch.x.items()},
                {name: has[rows] for name, has in batch.present.items()},
                batch.speaker[rows],
                torch.tensor([length]),
            )
            torch.testing.assert_close(model(alone).logits, together[b], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", ["rgat", "gatv2"])
def test_the_layers_for_comparison_stream_as_well(kind: GraphKind) -> None:
    torch.manual_seed(0)
    model = CBERL(replace(CONFIG, graph=kind)).eval()
    x = {name: torch.randn(17, dim) for name, dim in CONFIG.modality_dims.items()}
    present = {name: torch.rand(17) > 0.3 for name in x}
    batch = Batch(x, present, torch.arange(17) % 3, torch.tensor([12, 5]))
    assert_equals_forward(model, TorchStep(model), batch, [12, 5])


def test_state_does_not_grow(network: StepNetwork) -> None:
    state = initial_state(CONFIG)
    for i in range(3 * CONFIG.past):
        _, (state,) = network.step([state], [StepInput(f"s{i % 2}", {"audio": np.ones(8, np.float32)})])
    assert state.layers.shape == (CONFIG.graph_layers, CONFIG.past, CONFIG.hidden_dim)
    assert state.layers.base is None  # not a view that keeps the state of a whole batch
    assert len(state.speakers) == CONFIG.past


def test_an_interim_step_does_not_change_the_state(network: StepNetwork) -> None:
    _, (state,) = network.step([initial_state(CONFIG)], [StepInput("a", {"audio": np.ones(8, np.float32)})])
    final = StepInput("b", {"text": np.ones(24, np.float32)})
    first, _ = network.step([state], [final])
    network.step([state], [StepInput("b", {"audio": np.zeros(8, np.float32)})])
    again, _ = network.step([state], [final])
    np.testing.assert_array_equal(first, again)


def test_a_wrong_size_is_named(network: StepNetwork) -> None:
    with pytest.raises(ValueError, match=r"text has shape \(7,\), this network reads \(24,\)"):
        network.step([initial_state(CONFIG)], [StepInput("a", {"text": np.zeros(7, np.float32)})])

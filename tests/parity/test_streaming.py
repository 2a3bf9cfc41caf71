"""Step by step the network gives the same results as on the whole dialogue; later utterances change nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cberl.config import GraphKind, ModelConfig, TrainConfig
from cberl.data.features import FeatureSet
from cberl.model import CBERL, Batch
from cberl.streaming import StepInput, initial_state, step
from cberl.training.core.train import Trainer

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


def stream(model: CBERL, batch: Batch) -> list[torch.Tensor]:
    """Each dialogue of the batch, utterance by utterance; dialogues advance together, as concurrent sessions do."""
    lengths = batch.lengths.tolist()
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    states = [initial_state(model) for _ in lengths]
    logits: list[list[torch.Tensor]] = [[] for _ in lengths]
    for at in range(max(lengths)):
        alive = [b for b, length in enumerate(lengths) if at < length]
        inputs = [step_input(batch, starts[b] + at) for b in alive]
        out, after = step(model, [states[b] for b in alive], inputs)
        for row, b in enumerate(alive):
            states[b] = after[row]
            logits[b].append(out[row])
    return [torch.stack(rows) for rows in logits]


def step_input(batch: Batch, row: int) -> StepInput:
    x = {name: values[row] if batch.present[name][row] else None for name, values in batch.x.items()}
    return StepInput(f"speaker-{int(batch.speaker[row])}", x)


@settings(max_examples=60, deadline=None)
@given(dialogues())
def test_step_by_step_equals_forward(model: CBERL, drawn: tuple[Batch, list[int]]) -> None:
    batch, lengths = drawn
    with torch.inference_mode():
        whole = model(batch).logits.split(lengths)
    for offline, streamed in zip(whole, stream(model, batch), strict=True):
        assert torch.isfinite(offline).all()
        torch.testing.assert_close(streamed, offline, atol=TOLERANCE, rtol=0)


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
    network = CBERL(replace(CONFIG, graph=kind)).eval()
    x = {name: torch.randn(17, dim) for name, dim in CONFIG.modality_dims.items()}
    present = {name: torch.rand(17) > 0.3 for name in x}
    batch = Batch(x, present, torch.arange(17) % 3, torch.tensor([12, 5]))
    with torch.inference_mode():
        whole = network(batch).logits.split([12, 5])
    for offline, streamed in zip(whole, stream(network, batch), strict=True):
        torch.testing.assert_close(streamed, offline, atol=TOLERANCE, rtol=0)


def test_state_does_not_grow(model: CBERL) -> None:
    state = initial_state(model)
    for i in range(3 * CONFIG.past):
        _, (state,) = step(model, [state], [StepInput(f"s{i % 2}", {"audio": torch.randn(8)})])
    assert [len(layer) for layer in state.layers] == [CONFIG.past] * CONFIG.graph_layers
    assert len(state.speakers) == CONFIG.past


def test_an_interim_step_does_not_change_the_state(model: CBERL) -> None:
    _, (state,) = step(model, [initial_state(model)], [StepInput("a", {"audio": torch.ones(8)})])
    final = StepInput("b", {"text": torch.ones(24)})
    first, _ = step(model, [state], [final])
    step(model, [state], [StepInput("b", {"audio": torch.zeros(8)})])
    again, _ = step(model, [state], [final])
    torch.testing.assert_close(first, again, atol=0, rtol=0)


def test_a_wrong_size_is_named(model: CBERL) -> None:
    with pytest.raises(ValueError, match=r"text has shape \(7,\), this network reads \(24,\)"):
        step(model, [initial_state(model)], [StepInput("a", {"text": torch.zeros(7)})])

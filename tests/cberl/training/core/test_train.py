"""Training with all optional terms: each is optimised, none exists when off, and resuming gives equal results."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from cberl.checkpoint import load_checkpoint
from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet
from cberl.errors import TrainingError
from cberl.training.core.train import Epoch, Trainer, fit

MODEL = ModelConfig(text_dim=20, audio_dim=8, latent_dim=16, hidden_dim=16, heads=2, past=3)
PLAIN = TrainConfig(epochs=4, batch_dialogues=4, contrastive_weight=0.0, model=MODEL, patience=9)
EVERY_LEVER = replace(
    PLAIN,
    focal_gamma=1.0,
    vae_weight=0.5,
    mask_weight=0.5,
    contrastive_weight=0.5,
    shift_weight=0.5,
    ema_decay=0.9,
    label_smoothing=0.05,
)
TERMS = {"classification", "reconstruction", "prior_kl", "expert_kl", "masked", "contrastive", "shift"}


def features(seed: int, dialogues: int = 12) -> FeatureSet:
    """Random dialogues whose text determines the label; some audio is missing and some utterances have no label."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (dialogues,), generator=random)
    count = int(lengths.sum())
    label = torch.randint(0, 7, (count,), generator=random)
    text = torch.randn(count, 20, generator=random) + 3 * torch.nn.functional.one_hot(label, 20)
    audio = torch.randn(count, 8, generator=random)
    heard = torch.rand(count, generator=random) > 0.3
    audio[~heard] = float("nan")  # must not reach any result
    unlabelled = torch.rand(count, generator=random) < 0.1
    return FeatureSet(
        {"text": text, "audio": audio},
        {"text": torch.ones(count, dtype=torch.bool), "audio": heard},
        torch.randint(0, 3, (count,), generator=random),
        torch.where(unlabelled, -1, label),
        lengths,
    )


TRAIN, DEV = features(0), features(1, 6)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_every_term_is_reported_and_decreases() -> None:
    trainer = Trainer(replace(EVERY_LEVER, learning_rate=3e-3, beta=1.0, alpha=1.0), TRAIN, DEV)
    epochs = [trainer.run_epoch() for _ in range(15)]
    assert epochs[0].losses.keys() == TERMS
    for name in TERMS - {"prior_kl", "expert_kl"}:  # the divergences grow while z learns
        assert epochs[-1].losses[name] < epochs[0].losses[name], name
    weighted = sum(trainer.objective.weights[name] * value for name, value in epochs[0].losses.items())
    assert epochs[0].loss == pytest.approx(weighted, rel=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    trainer = Trainer(EVERY_LEVER, TRAIN, DEV)
    trainer.run_epoch()
    for part in (trainer.model, trainer.objective):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_optional_terms_do_not_change_the_network() -> None:
    full, plain = Trainer(EVERY_LEVER, TRAIN, DEV), Trainer(PLAIN, TRAIN, DEV)
    assert same(dict(full.model.state_dict()), dict(plain.model.state_dict()))  # equal keys, shapes and initial values
    assert sum(1 for _ in plain.objective.parameters()) == 0
    assert plain.run_epoch().losses.keys() == {"classification"}


def test_modalities_removed_by_dropout_are_reconstructed_too() -> None:
    trainer = Trainer(replace(PLAIN, vae_weight=1.0), TRAIN, DEV)
    batch, label = TRAIN.whole()
    shown = replace(batch, present=batch.present | {"audio": torch.zeros_like(batch.present["audio"])})
    other = replace(batch, x=batch.x | {"audio": batch.x["audio"] + 5.0})
    trainer.model.eval()

    def term(clean: object, name: str) -> float:
        torch.manual_seed(0)
        return float(trainer.objective(trainer.model, clean, shown, label)[name].detach())

    assert term(other, "reconstruction") > term(batch, "reconstruction") + 1
    assert term(other, "expert_kl") == term(batch, "expert_kl")  # only modalities in the input have an expert


def test_the_average_follows_its_formula() -> None:
    trainer = Trainer(replace(PLAIN, ema_decay=0.9), TRAIN, DEV)
    name = "to_graph.weight"
    expected: torch.Tensor | None = None
    for _ in range(4):
        trainer.model.train()
        trainer._step(*TRAIN.whole())
        now = trainer.model.state_dict()[name].clone()
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    assert expected is not None
    torch.testing.assert_close(trainer.scored.state_dict()[name], expected)
    assert Trainer(PLAIN, TRAIN, DEV).scored.state_dict().keys() == trainer.scored.state_dict().keys()


def test_a_resumed_run_gives_the_same_result(tmp_path: Path) -> None:
    seen: list[Epoch] = []
    whole = Trainer(EVERY_LEVER, TRAIN, DEV)
    fit(whole, tmp_path / "whole", resume=False, report=seen.append)

    class KilledError(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit(Trainer(EVERY_LEVER, TRAIN, DEV), tmp_path / "parts", resume=False, report=kill)
    torch.manual_seed(99)
    resumed = Trainer(EVERY_LEVER, TRAIN, DEV)
    fit(resumed, tmp_path / "parts", resume=True, report=seen.append)
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4, 3, 4]
    assert same(whole.state()["best_state"], resumed.state()["best_state"])
    assert same(dict(whole.model.state_dict()), dict(resumed.model.state_dict()))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    with pytest.raises(TrainingError, match="started with other settings"):
        Trainer(PLAIN, TRAIN, DEV).resume(torch.load(tmp_path / "parts/last.pt", weights_only=True))


def test_the_checkpoint_has_the_network_and_its_training_settings(tmp_path: Path) -> None:
    trainer = Trainer(replace(EVERY_LEVER, coverage=0.5), TRAIN, DEV)
    trainer.run_epoch()
    trainer.finish("test", {}, {}).save(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert same(dict(loaded.model.state_dict()), trainer.best_state)
    batch, label = DEV.whole()
    with torch.inference_mode():
        probabilities = loaded.calibration.probabilities(loaded.model(batch).logits[label >= 0].double().numpy())
    assert loaded.calibration.uncertain(probabilities).mean() == pytest.approx(0.5, abs=0.05)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["provenance"]["training"] == {k: v for k, v in asdict(trainer.config).items() if k != "model"}
    del config["calibration"]["uncertain_below"], config["model"]["lookahead"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(tmp_path).calibration.uncertain_below == 0  # a checkpoint without the key

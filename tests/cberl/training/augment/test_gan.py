"""The GAN on a toy: what it learns, which parameters each optimizer updates, and equal seeds."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet
from cberl.training.augment.gan import GanConfig, GanStep, GanTrainer, train_gan

CONFIG = GanConfig(
    steps=200,
    batch=64,
    hidden_dim=32,
    generator_rate=2e-3,
    discriminator_rate=2e-3,
    classifier_rate=4e-3,
    average=0.9,
    report_every=50,
)
CENTRES = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 3.0, 3.0, 0.0]])


def toy() -> FeatureSet:
    """Three clouds, the last two rare; the audio of every tenth utterance is missing."""
    draw = torch.Generator().manual_seed(0)
    label = torch.repeat_interleave(torch.arange(3), torch.tensor([300, 40, 40]))
    points = 5 + 2 * (CENTRES[label] + 0.5 * torch.randn(380, 4, generator=draw))
    has = torch.arange(380) % 10 > 0
    x = {"text": points, "audio": points[:, :2].masked_fill(~has.unsqueeze(1), 0.0)}
    present = {"text": torch.ones(380, dtype=torch.bool), "audio": has}
    return FeatureSet(x, present, torch.zeros(380, dtype=torch.long), label, torch.tensor([380]))


def weights(part: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(part.parameters()).detach().clone()


def test_translations_reach_their_class_as_one_utterance() -> None:
    features, reports = toy(), list[GanStep]()
    trainer = train_gan(CONFIG, features, 3, [1, 2], reports.append)
    assert [one.step for one in reports] == [50, 100, 150, 200]
    assert reports[-1].emotion < 0.5 * reports[0].emotion
    slots = torch.arange(300, 380)
    made = trainer.translate(features, slots, torch.Generator().manual_seed(1))
    nearest = torch.cdist((made.x["text"] - 5) / 2, CENTRES).argmin(1)
    assert (nearest == features.label[slots]).float().mean() > 0.9
    # The toy's audio repeats two features of its text. In a translation they must be closer than to another's text.
    both = made.rows(made.present["audio"] & (features.label[slots] == 1))
    audio, text = both.x["audio"], both.x["text"][:, :2]
    assert (audio - text).abs().mean() < 0.85 * (audio.roll(1, 0) - text).abs().mean()
    assert not made.present["audio"].all()
    assert (made.x["audio"][~made.present["audio"]] == 0).all()


def test_cycle_loss_falls() -> None:
    trainer = GanTrainer(CONFIG, toy(), 3, [1, 2])
    with torch.no_grad():  # fresh generators change little, so their cycle loss is small: start with large changes
        for generators in (trainer.to_target, trainer.to_source):
            for parameter in generators.parameters():
                parameter.mul_(3)
    cycle = [trainer.step(trainer.sample())[2] for _ in range(60)]
    assert sum(cycle[-5:]) < 0.3 * sum(cycle[:5])


def test_each_optimizer_moves_its_own_parameters_only() -> None:
    trainer = GanTrainer(CONFIG, toy(), 3, [1, 2])
    parts = {
        "discriminators": [trainer.discriminators],
        "classifier": [trainer.classifier],
        "generators": [trainer.to_target, trainer.to_source],
    }
    updates = {
        "discriminators": trainer.update_discriminators,
        "classifier": trainer.update_classifier,
        "generators": trainer.update_generators,
    }
    for updated, update in updates.items():
        pairs = trainer.sample()
        before = {name: [weights(part) for part in group] for name, group in parts.items()}
        update(pairs, trainer.translate_round(pairs))
        for name, group in parts.items():
            moved = [not torch.equal(weights(part), old) for part, old in zip(group, before[name], strict=True)]
            assert moved == [name == updated] * len(group), (updated, name)
    assert all(parameter.requires_grad for group in parts.values() for part in group for parameter in part.parameters())


def test_a_pair_is_a_rare_utterance_and_one_of_another_class() -> None:
    trainer = GanTrainer(CONFIG, toy(), 3, [1, 2])
    pairs = trainer.sample()
    assert torch.bincount(pairs.target_label).tolist() == [0, 32, 32]
    assert (pairs.source_label != pairs.target_label).all()
    assert len(pairs.source_label.unique()) == 3  # a rare class is a source of the other


def test_same_seed_same_utterances_and_the_callers_random_state_is_kept() -> None:
    features, slots = toy(), torch.arange(300, 380)

    def made(seed: int) -> torch.Tensor:
        trainer = train_gan(replace(CONFIG, steps=5, seed=seed), features, 3, [1, 2])
        return trainer.translate(features, slots, torch.Generator().manual_seed(0)).x["text"]

    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = made(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(one, made(0))
    assert not torch.equal(one, made(1))


def test_a_class_without_examples_is_refused() -> None:
    with pytest.raises(DataError, match="class 3 cannot be augmented"):
        GanTrainer(CONFIG, toy(), 4, [1, 3])

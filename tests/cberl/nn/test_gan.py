"""The networks of the GAN: losses by hand, absent modalities, and gradients of all weights."""

import pytest
import torch

from cberl.nn.gan import Discriminators, EmotionClassifier, Generators, cycle_loss, discriminator_loss, generator_loss

DIMS = {"text": 6, "audio": 3}
LABEL = torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture
def x() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    x = {name: torch.randn(5, dim) for name, dim in DIMS.items()}
    x["audio"][3:] = 0
    return x


PRESENT = {"text": torch.ones(5, dtype=torch.bool), "audio": torch.tensor([True, True, True, False, False])}


def test_absent_modalities_stay_absent_and_the_target_matters(x: dict[str, torch.Tensor]) -> None:
    generators = Generators(DIMS, 3, 16)
    made = generators(x, PRESENT, LABEL)
    assert (made["audio"][3:] == 0).all()
    other = generators(x, PRESENT, (LABEL + 1) % 3)
    assert not torch.isclose(made["text"], other["text"]).all(-1).any()


def test_every_weight_of_every_part_gets_a_gradient(x: dict[str, torch.Tensor]) -> None:
    generators, discriminators = Generators(DIMS, 3, 16), Discriminators(DIMS, 3, 16, 0.0)
    classifier = EmotionClassifier(DIMS, 3, 16, 0.0, 0.0)
    made = generators(x, PRESENT, LABEL)
    scores = discriminators(made, PRESENT, LABEL)
    assert {name: len(rows) for name, rows in scores.items()} == {"text": 5, "audio": 3, "joint": 5}
    logits = classifier(made, PRESENT)
    (generator_loss(scores) + torch.nn.functional.cross_entropy(logits, LABEL)).backward()
    for part in (generators, discriminators, classifier):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_the_joint_discriminator_reads_which_modalities_are_present(x: dict[str, torch.Tensor]) -> None:
    discriminators = Discriminators(DIMS, 3, 16, 0.0).eval()
    x["audio"][:] = 0
    without = {"text": PRESENT["text"], "audio": torch.zeros(5, dtype=torch.bool)}
    assert len(discriminators(x, without, LABEL)["audio"]) == 0
    joint = [discriminators(x, present, LABEL)["joint"][:3] for present in (without, PRESENT)]
    assert (joint[0] != joint[1]).all()


def test_discriminator_is_spectrally_normalised() -> None:
    torch.manual_seed(0)
    joint = Discriminators(DIMS, 3, 16, 0.0).joint
    with torch.no_grad():
        for layer in (joint.body[0], joint.body[3]):
            layer.parametrizations.weight.original.mul_(50)
        for _ in range(50):  # one power iteration per forward pass
            joint(torch.randn(4, 11), torch.zeros(4, dtype=torch.long))
    for layer in (joint.body[0], joint.body[3], joint.real):
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1.0, abs=0.02)


def test_losses_are_the_formulas() -> None:
    real = {"text": torch.tensor([2.0, 0.0]), "joint": torch.tensor([0.5])}
    fake = {"text": torch.tensor([-3.0, 1.0]), "joint": torch.tensor([0.0])}
    assert discriminator_loss(real, fake).item() == pytest.approx((0.5 + 1.0) + (0.5 + 1.0))
    assert generator_loss(fake).item() == pytest.approx((1.0 + 0.0) / 2)
    there = {"text": torch.tensor([True, True]), "audio": torch.tensor([True, False])}
    x = {"text": torch.zeros(2, 2), "audio": torch.tensor([[1.0], [9.0]])}
    back = {"text": torch.tensor([[1.0, -1.0], [0.0, 2.0]]), "audio": torch.tensor([[4.0], [0.0]])}
    assert cycle_loss(x, back, there).item() == pytest.approx((1.0 + 3.0) / 2)


def test_the_loss_of_a_modality_that_no_row_has_is_zero() -> None:
    nobody = {"audio": torch.zeros(0, requires_grad=True)}
    assert discriminator_loss(nobody, nobody).item() == 0
    assert cycle_loss({"audio": torch.ones(2, 1)}, {"audio": torch.zeros(2, 1)}, {"audio": torch.zeros(2) > 0}) == 0

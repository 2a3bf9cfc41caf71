"""The GAN's parts: closed forms, absence, and that gradients reach every weight."""

import pytest
import torch

from cberl.nn.gan import EmotionClassifier, Judges, Translator, cycle_loss, discriminator_loss, generator_loss

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
    translator = Translator(DIMS, 3, 16)
    made = translator(x, PRESENT, LABEL)
    assert (made["audio"][3:] == 0).all()
    other = translator(x, PRESENT, (LABEL + 1) % 3)
    assert not torch.isclose(made["text"], other["text"]).all(-1).any()


def test_every_weight_of_every_part_gets_a_gradient(x: dict[str, torch.Tensor]) -> None:
    translator, judges = Translator(DIMS, 3, 16), Judges(DIMS, 3, 16, 0.0)
    classifier = EmotionClassifier(DIMS, 3, 16, 0.0, 0.0)
    made = translator(x, PRESENT, LABEL)
    verdicts = judges(made, PRESENT, LABEL)
    assert {name: len(scores) for name, scores in verdicts.items()} == {"text": 5, "audio": 3, "joint": 5}
    logits = classifier(made, PRESENT)
    (generator_loss(verdicts) + torch.nn.functional.cross_entropy(logits, LABEL)).backward()
    for part in (translator, judges, classifier):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_the_joint_judge_sees_which_modalities_are_there(x: dict[str, torch.Tensor]) -> None:
    judges = Judges(DIMS, 3, 16, 0.0).eval()
    x["audio"][:] = 0
    without = {"text": PRESENT["text"], "audio": torch.zeros(5, dtype=torch.bool)}
    assert len(judges(x, without, LABEL)["audio"]) == 0
    assert (judges(x, without, LABEL)["joint"][:3] != judges(x, PRESENT, LABEL)["joint"][:3]).all()


def test_discriminator_is_spectrally_normalised() -> None:
    torch.manual_seed(0)
    judges = Judges(DIMS, 3, 16, 0.0)
    with torch.no_grad():
        for layer in (judges.joint.body[0], judges.joint.body[3]):
            layer.parametrizations.weight.original.mul_(50)
        for _ in range(50):  # power iterations, one a forward pass
            judges.joint(torch.randn(4, 11), torch.zeros(4, dtype=torch.long))
    for layer in (judges.joint.body[0], judges.joint.body[3], judges.joint.real):
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


def test_a_modality_that_no_row_has_costs_nothing() -> None:
    nobody = {"audio": torch.zeros(0, requires_grad=True)}
    assert discriminator_loss(nobody, nobody).item() == 0
    assert cycle_loss({"audio": torch.ones(2, 1)}, {"audio": torch.zeros(2, 1)}, {"audio": torch.zeros(2) > 0}) == 0

"""The measures compared with closed forms, and on good and bad synthetic utterances."""

import math

import pytest
import torch

from cberl.data.features import FeatureSet
from cberl.training.augment.checks import check, frechet_distance, mean_distance, nearest_distance
from cberl.training.augment.space import Utterances, utterances_of


def gaussian(mean: torch.Tensor, sd: torch.Tensor, n: int = 4000) -> torch.Tensor:
    """Rows with exactly this mean and the covariance diag(sd^2)."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(int(mean.sum())), dtype=torch.double)
    x = x - x.mean(0)
    return mean + x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T * sd


def test_frechet_distance_of_gaussians() -> None:
    a, b = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([3.0, 1.0, 2.5])
    s, t = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.5, 2.0, 3.0])
    closed = (a - b).square().sum() + (s - t).square().sum()  # commuting covariances: tr = sum (s - t)^2
    assert frechet_distance(gaussian(a, s), gaussian(b, t)) == pytest.approx(float(closed), rel=1e-6)
    assert frechet_distance(gaussian(a, s), gaussian(a, s)) == pytest.approx(0.0, abs=1e-6)


def test_frechet_distance_of_covariances_that_do_not_commute() -> None:
    half = math.sqrt(0.5)
    turn = torch.tensor([[half, -half], [half, half]], dtype=torch.double)  # by 45 degrees
    a = gaussian(torch.zeros(2), torch.tensor([2.0, 1.0]))
    b = a @ turn.T
    # tr(S_a) = tr(S_b) = 5; S_a S_b has determinant 16 and trace 17, so its root has the trace sqrt(17 / 2 * ... ).
    product = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.double)) @ b.T.cov()
    root_trace = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(product.det())))  # 2 x 2 Cayley-Hamilton
    assert frechet_distance(a, b) == pytest.approx(10 - 2 * root_trace, rel=1e-6)


def test_distances() -> None:
    reference = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    points = torch.tensor([[3.0, 4.0], [10.0, 0.0]])
    assert nearest_distance(points, reference).tolist() == [5.0, 0.0]
    assert mean_distance(torch.tensor([[0.0], [1.0], [3.0]])) == pytest.approx(2.0)


CENTRES = torch.tensor([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])


def split(seed: int) -> FeatureSet:
    label = torch.arange(400) % 2
    x = {"text": cloud(label, seed), "audio": cloud(label, seed + 100)[:, :2]}
    there = torch.ones(400, dtype=torch.bool)
    return FeatureSet(x, dict.fromkeys(x, there), torch.zeros(400), label, torch.tensor([400]))


def cloud(label: torch.Tensor, seed: int) -> torch.Tensor:
    return CENTRES[label] + torch.randn(len(label), 3, generator=torch.Generator().manual_seed(seed))


def of_class_1(features: FeatureSet) -> Utterances:
    return utterances_of(features).rows(features.label == 1)


def test_checks_detect_copied_mislabelled_and_collapsed_utterances() -> None:
    train, held_out, fresh = split(0), split(1), split(2)
    label = torch.ones(200, dtype=torch.long)

    def figures(made: Utterances) -> tuple[float, float, float, float]:
        checked = check(train, held_out, made, label, 2)
        one = checked.classes[1]
        return one.recognised_made, one.copies, one.diversity_made, checked.frechet_made["joint"]

    recognised, copies, diversity, frechet = figures(of_class_1(fresh))
    assert recognised > 0.9
    assert copies < 0.15
    assert diversity == pytest.approx(1.0, abs=0.1)

    assert figures(of_class_1(train))[1] == 1.0  # copies

    recognised, _, _, farther = figures(utterances_of(fresh).rows(fresh.label == 0))  # of the other class
    assert recognised < 0.1
    assert farther > 10 * frechet

    one = of_class_1(fresh).rows(torch.zeros(200, dtype=torch.long))  # one, 200 times
    assert figures(one)[2] == 0

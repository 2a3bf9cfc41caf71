"""Losses compared with closed forms."""

import math
from statistics import mean

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from cberl.losses import (
    class_weights,
    focal_loss,
    gaussian_kl,
    masked_mean,
    prior_kl,
    scaled_cosine_error,
    soft_cross_entropy,
    supervised_contrastive,
)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(20, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)


LABELS = torch.arange(20) % 5


def test_gamma_zero_is_weighted_cross_entropy(logits: torch.Tensor) -> None:
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    torch.testing.assert_close(
        focal_loss(logits, LABELS, weight=weight), F.cross_entropy(logits, LABELS, weight=weight)
    )
    torch.testing.assert_close(
        focal_loss(logits, LABELS, smoothing=0.1), F.cross_entropy(logits, LABELS, label_smoothing=0.1)
    )


def test_focal_closed_form(logits: torch.Tensor) -> None:
    p = logits.softmax(-1)[torch.arange(20), LABELS]
    torch.testing.assert_close(focal_loss(logits, LABELS, gamma=2.0), (-((1 - p) ** 2) * p.log()).mean())


def test_unlabelled_rows_have_no_effect(logits: torch.Tensor) -> None:
    labels = torch.where(torch.arange(20) < 10, LABELS, -1)
    loss = focal_loss(logits, labels, gamma=1.0)
    torch.testing.assert_close(loss, focal_loss(logits[:10], LABELS[:10], gamma=1.0))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:10].abs().sum(-1) > 0).all()
    assert (logits.grad[10:] == 0).all()


def test_shares_of_labels_are_cross_entropy_too(logits: torch.Tensor) -> None:
    """One label per row: as with labels, weights and smoothing. In part: the mean of both. Without: no effect."""
    weight = torch.rand(logits.shape[1], generator=torch.Generator().manual_seed(1)) + 0.5
    labels = torch.arange(len(logits)) % logits.shape[1]
    hard = F.one_hot(labels, logits.shape[1]).float()
    wanted = focal_loss(logits, labels, weight=weight, smoothing=0.1)
    torch.testing.assert_close(soft_cross_entropy(logits, hard, weight, 0.1), wanted)
    even, one = torch.ones(logits.shape[1]), logits[:1]
    both = soft_cross_entropy(one, torch.tensor([[0.5, 0.5] + [0.0] * (logits.shape[1] - 2)]), even)
    torch.testing.assert_close(both, -F.log_softmax(one, -1)[0, :2].mean())
    some = torch.cat([hard, torch.zeros_like(hard)])
    torch.testing.assert_close(soft_cross_entropy(torch.cat([logits, logits * 3]), some, weight, 0.1), wanted)


def test_class_weights_have_mean_one_over_examples() -> None:
    counts = torch.tensor([90, 10, 0])
    weights = class_weights(counts, power=0.5)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(3.0)
    assert weights[2] == 0


def gaussian(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)


def test_the_divergence_of_gaussians_equals_pytorchs() -> None:
    q, p = gaussian(0), gaussian(1)
    expected = kl_divergence(Normal(q[0], (q[1] / 2).exp()), Normal(p[0], (p[1] / 2).exp())).mean(-1)
    torch.testing.assert_close(gaussian_kl(q, p), expected)
    torch.testing.assert_close(gaussian_kl(q, q), torch.zeros(6))
    torch.testing.assert_close(prior_kl(q), 0.5 * (q[1].exp() + q[0] ** 2 - 1 - q[1]).mean(-1))


def test_masked_mean_ignores_rows_outside_the_mask() -> None:
    values, where = torch.tensor([1.0, float("nan"), 4.0]), torch.tensor([True, False, True])
    assert masked_mean(values, where) == 2.5
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)) == 0


def test_scaled_cosine_error_closed_form() -> None:
    target = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    predicted = torch.tensor([[3.0, 0.0], [5.0, 0.0], [-1.0, 0.0]])  # cosines 1, 0, -1
    assert scaled_cosine_error(predicted, target, gamma=1.0) == pytest.approx((0 + 1 + 2) / 3)
    assert scaled_cosine_error(predicted, target, gamma=3.0) == pytest.approx((0 + 1 + 8) / 3)


def test_the_contrastive_loss_equals_the_sums_written_out() -> None:
    generator = torch.Generator().manual_seed(2)
    points = F.normalize(torch.randn(7, 3, generator=generator), dim=-1).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2, -1])  # class 2 has one example, the last row none
    pull = (points.detach() @ points.detach().T / 0.2).exp().tolist()
    by_row = []
    for i in range(5):
        others = [a for a in range(6) if a != i]
        alike = [a for a in others if labels[a] == labels[i]]
        by_row.append(-mean(math.log(pull[i][a] / sum(pull[i][b] for b in others)) for a in alike))
    loss = supervised_contrastive(points, labels, temperature=0.2)
    assert float(loss.detach()) == pytest.approx(mean(by_row), rel=1e-5)
    loss.backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    assert (points.grad[5] != 0).any()  # alone in its class, it is only repelled
    assert (points.grad[6] == 0).all()


def test_the_contrastive_loss_of_singletons_is_zero() -> None:
    points = F.normalize(torch.ones(3, 2), dim=-1).requires_grad_()
    for labels in (torch.tensor([0, 1, 2]), torch.full((3,), -1), torch.tensor([1, -1, -1])):
        loss = supervised_contrastive(points, labels, temperature=0.1)
        loss.backward()
        assert loss == 0
    assert points.grad is not None
    assert (points.grad == 0).all()

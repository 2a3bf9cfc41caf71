"""Losses against closed forms."""

import pytest
import torch
import torch.nn.functional as F

from cberl.losses import class_weights, focal_loss


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


def test_unlabelled_rows_neither_count_nor_pull(logits: torch.Tensor) -> None:
    labels = torch.where(torch.arange(20) < 10, LABELS, -1)
    loss = focal_loss(logits, labels, gamma=1.0)
    torch.testing.assert_close(loss, focal_loss(logits[:10], LABELS[:10], gamma=1.0))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:10].abs().sum(-1) > 0).all()
    assert (logits.grad[10:] == 0).all()


def test_class_weights_have_mean_one_over_examples() -> None:
    counts = torch.tensor([90, 10, 0])
    weights = class_weights(counts, power=0.5)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(3.0)
    assert weights[2] == 0

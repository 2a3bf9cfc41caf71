"""Decisions and probabilities after calibration."""

import numpy as np
import pytest
import torch

from cberl.calibration import Calibration
from cberl.calibration_fit import (
    expected_calibration_error,
    fit_temperature,
    log_prior,
    maximum_calibration_error,
    reliability,
    risk_coverage,
    threshold_at_coverage,
)

PRIOR = log_prior(torch.tensor([0] * 90 + [1] * 8), 2)


def test_tau_moves_decisions_towards_the_rare_class_and_temperature_none() -> None:
    logits = np.linspace(-3, 3, 50)[:, None] * np.array([[1.0, -1.0]])
    rare = [int(Calibration(PRIOR, tau).decide(logits).sum()) for tau in (0.0, 0.5, 1.0)]
    assert rare == sorted(rare)
    assert rare[0] < rare[-1]
    np.testing.assert_array_equal(Calibration(PRIOR, 0.5, 3.0).decide(logits), Calibration(PRIOR, 0.5).decide(logits))


def test_probabilities_are_the_softmax_of_adjusted_logits() -> None:
    logits = torch.tensor([[1.0, 2.0], [-400.0, 400.0]], dtype=torch.double)
    expected = ((logits - 0.5 * torch.tensor(PRIOR).double()) / 1.5).softmax(-1)
    np.testing.assert_allclose(Calibration(PRIOR, 0.5, 1.5).probabilities(logits.numpy()), expected, rtol=1e-6)


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 3, generator=generator)
    label = torch.multinomial(honest.softmax(-1), 1, generator=generator).squeeze(1)
    flat = Calibration(log_prior(torch.tensor([0, 1, 2]), 3))
    assert fit_temperature(honest * 2.5, label, flat) == pytest.approx(2.5, rel=0.05)
    assert expected_calibration_error(honest.softmax(-1), label) < 0.02
    assert expected_calibration_error((honest * 2.5).softmax(-1), label) > 0.1


def test_reliability_bins_by_hand() -> None:
    top = torch.tensor([0.95, 0.85, 0.55, 0.95])
    found = reliability(torch.stack([top, 1 - top], dim=-1), torch.tensor([0, 1, 0, 1]), bins=10)
    assert found.count.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 2]
    torch.testing.assert_close(found.accuracy[[5, 8, 9]], torch.tensor([1.0, 0.0, 0.5]).double())
    torch.testing.assert_close(found.confidence[[5, 8, 9]], torch.tensor([0.55, 0.85, 0.95]).double())
    assert found.accuracy[0].isnan()
    given = torch.stack([top, 1 - top], dim=-1), torch.tensor([0, 1, 0, 1])
    assert expected_calibration_error(*given, bins=10) == pytest.approx((0.45 + 0.85 + 2 * 0.45) / 4)
    assert maximum_calibration_error(*given, bins=10) == pytest.approx(0.85)


@pytest.mark.parametrize("coverage", [0.05, 0.5, 0.7, 0.9, 0.999])
def test_the_threshold_keeps_the_coverage_asked_for_and_hardly_more(coverage: float) -> None:
    confidence = torch.rand(1000, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    chosen = Calibration((0.0, 0.0), uncertain_below=threshold_at_coverage(confidence, coverage))
    kept = (~chosen.uncertain(np.stack([confidence, 0 * confidence], axis=-1))).mean()
    assert coverage <= kept < coverage + 1 / 1000 + 1e-9


def test_nothing_is_uncertain_by_default() -> None:
    assert threshold_at_coverage(torch.rand(10), 1.0) == 0.0
    assert not Calibration((0.0, 0.0)).uncertain(np.zeros((3, 2))).any()
    with pytest.raises(ValueError, match="coverage must be above 0"):
        threshold_at_coverage(torch.rand(10), 0.0)


def test_risk_by_coverage_by_hand() -> None:
    top = torch.tensor([0.9, 0.6, 0.8, 0.6, 0.7])
    labels = torch.tensor([0, 0, 1, 1, 0])  # correct, correct, wrong, wrong, correct
    coverage, risk = risk_coverage(torch.stack([top, 1 - top], dim=-1), labels)
    torch.testing.assert_close(
        coverage, torch.tensor([1, 2, 3, 5]).double() / 5
    )  # the two with 0.6 are kept or dropped together
    torch.testing.assert_close(risk, torch.tensor([0, 1 / 2, 1 / 3, 2 / 5]).double())

"""Decisions and probabilities after calibration."""

import pytest
import torch

from cberl.calibration import Calibration, expected_calibration_error, fit_temperature, log_prior

PRIOR = log_prior(torch.tensor([0] * 90 + [1] * 8), 2)


def test_tau_moves_decisions_towards_the_rare_class_and_temperature_none() -> None:
    logits = torch.linspace(-3, 3, 50).unsqueeze(1) * torch.tensor([[1.0, -1.0]])
    rare = [int(Calibration(PRIOR, tau).decide(logits).sum()) for tau in (0.0, 0.5, 1.0)]
    assert rare == sorted(rare)
    assert rare[0] < rare[-1]
    torch.testing.assert_close(Calibration(PRIOR, 0.5, 3.0).decide(logits), Calibration(PRIOR, 0.5).decide(logits))


def test_temperature_finds_how_much_logits_boast() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 3, generator=generator)
    label = torch.multinomial(honest.softmax(-1), 1, generator=generator).squeeze(1)
    flat = Calibration(log_prior(torch.tensor([0, 1, 2]), 3))
    assert fit_temperature(honest * 2.5, label, flat) == pytest.approx(2.5, rel=0.05)
    assert expected_calibration_error(honest.softmax(-1), label) < 0.02
    assert expected_calibration_error((honest * 2.5).softmax(-1), label) > 0.1

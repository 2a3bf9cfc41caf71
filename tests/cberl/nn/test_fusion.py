"""The joint posterior is the product of the present experts; samples have its mean and variance."""

import torch

from cberl.nn.fusion import JointFusion, Posterior

DIMS = {"text": 20, "audio": 8}


def fusion() -> JointFusion:
    torch.manual_seed(0)
    return JointFusion(DIMS, 6, dropout=0.0, skip=True).eval()


def test_product_of_experts_closed_form() -> None:
    network = fusion()
    x = {name: torch.randn(5, dim) for name, dim in DIMS.items()}
    has = {
        "text": torch.tensor([True, True, False, False, True]),
        "audio": torch.tensor([True, False, True, False, True]),
    }
    fused = network(x, has)
    for row in range(5):
        precision, weighted = torch.ones(6), torch.zeros(6)
        for name in DIMS:
            if has[name][row]:
                own = fused.experts[name]
                precision += (-own.log_variance[row]).exp()
                weighted += own.mean[row] * (-own.log_variance[row]).exp()
        torch.testing.assert_close(fused.joint.mean[row], weighted / precision)
        torch.testing.assert_close(fused.joint.log_variance[row], -precision.log())
    assert (fused.joint.mean[3] == 0).all()  # all modalities absent: the prior
    torch.testing.assert_close(fused.z, fused.expected, atol=0, rtol=0)


def test_samples_are_of_the_posterior_and_pass_gradients() -> None:
    mean = torch.tensor([[1.0, -2.0]], requires_grad=True)
    log_variance = torch.tensor([[0.0, -3.0]], requires_grad=True)
    drawn = Posterior(mean.expand(40_000, 2), log_variance.expand(40_000, 2)).draw()
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0).log(), log_variance[0], atol=0.05, rtol=0)
    drawn.square().sum().backward()
    assert mean.grad is not None
    assert log_variance.grad is not None
    assert (log_variance.grad != 0).all()


def test_without_draw_the_latent_is_deterministic() -> None:
    network = fusion()
    x = {name: torch.randn(3, dim) for name, dim in DIMS.items()}
    has = {name: torch.ones(3, dtype=torch.bool) for name in DIMS}
    certain, drawn = network(x, has), network(x, has, draw=True)
    torch.testing.assert_close(drawn.expected, certain.z)
    assert not torch.allclose(drawn.z, certain.z, atol=1e-3)

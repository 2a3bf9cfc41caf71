"""The feature space: invertible, with equal weight of modalities; absent modalities stay absent."""

import torch

from cberl.data.features import FeatureSet
from cberl.training.augment.space import Space, utterances_of


def test_a_modality_has_mean_square_one_and_leave_inverts_enter() -> None:
    draw = torch.Generator().manual_seed(0)
    has = torch.rand(200, generator=draw) < 0.7
    x = {
        "text": 5 + 3 * torch.randn(200, 6, generator=draw),
        "audio": torch.randn(200, 2, generator=draw).masked_fill(~has.unsqueeze(1), 0.0),
    }
    present = {"text": torch.ones(200, dtype=torch.bool), "audio": has}
    features = FeatureSet(x, present, torch.zeros(200), torch.zeros(200), torch.tensor([200]))
    space = Space.of(features)
    entered = space.enter(utterances_of(features))
    for name, values in entered.x.items():
        rows = values[present[name]]
        torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(rows.square().mean(), torch.tensor(1.0))
    assert (entered.x["audio"][~has] == 0).all()
    again = space.leave(entered)
    torch.testing.assert_close(again.x, x, atol=1e-5, rtol=1e-5)
    assert (again.x["audio"][~has] == 0).all()


def test_modalities_have_equal_weight_whatever_their_size_and_unit() -> None:
    draw = torch.Generator().manual_seed(0)
    x = {"text": 100 * torch.randn(500, 64, generator=draw), "audio": 0.01 * torch.randn(500, 2, generator=draw)}
    there = torch.ones(500, dtype=torch.bool)
    features = FeatureSet(x, dict.fromkeys(x, there), torch.zeros(500), torch.zeros(500), torch.tensor([500]))
    points = Space.of(features).joined(utterances_of(features))
    torch.testing.assert_close(points[:, :64].square().sum(1).mean(), torch.tensor(1.0))
    torch.testing.assert_close(points[:, 64:].square().sum(1).mean(), torch.tensor(1.0))

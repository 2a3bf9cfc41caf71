"""The map and the silhouette, compared with scikit-learn and by hand."""

import pytest
import torch
from sklearn.metrics import silhouette_score

from cberl.evaluation.report.embedding import map_of, project, silhouette, states
from testing.toys import features, group


def test_the_silhouette_equals_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (1500,), generator=generator)
    label[label == 1] = 5  # one class does not occur
    label[0] = 1  # one class has a single point
    points = torch.randn(1500, 7, generator=generator) + label.unsqueeze(1)
    assert silhouette(points, label) == pytest.approx(silhouette_score(points.numpy(), label.numpy()), abs=1e-6)


def test_the_silhouette_of_a_single_class_is_zero() -> None:
    assert silhouette(torch.randn(5, 2), torch.full((5,), 3)) == 0


def test_a_plane_is_projected_onto_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(50, 2, generator=generator).double() * torch.tensor([3.0, 1.0])
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator).double()).Q[:2]  # (2, 8), orthonormal rows
    shown = project(flat @ turn + 5)
    assert torch.allclose(torch.cdist(shown, shown), torch.cdist(flat, flat), atol=1e-5)
    assert shown[:, 0].var() > shown[:, 1].var()


def test_only_labelled_rows_are_on_the_map() -> None:
    given = features()
    (checkpoint,) = group("one", 1).checkpoints
    made = map_of("z", states(checkpoint, given).fused.z, given.label)
    assert made.points.shape == (int((given.label >= 0).sum()), 2)
    assert (made.label >= 0).all()

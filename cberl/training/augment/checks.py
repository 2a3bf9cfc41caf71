"""Quality of synthetic utterances: recognised as their class, not copies, distributed like real ones, and as diverse.

Everything is measured in the `Space` of the real training features. Each figure comes with that of real utterances that
were held out, which is the best that can be expected.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cberl.data.features import FeatureSet
from cberl.training.augment.space import Space, Utterances, utterances_of

COMPONENTS = 32  # principal components of the Frechet distance, few because a rare class has a few hundred examples


@dataclass(frozen=True, slots=True)
class ClassCheck:
    """One class. `*_real` figures are of held-out utterances of the class, `*_made` of synthetic ones."""

    made: int  # count
    real: int
    recognised_made: float  # share, 0..1, that a linear classifier trained on real utterances assigns to the class
    recognised_real: float
    nearest_made: float  # median distance to the nearest training utterance of the class
    nearest_real: float
    copies: float  # share of `made` closer to a training utterance of the class than 95 % of held-out ones are
    source_made: (
        float  # median distance to the nearest training utterance of any class, including a translation's source
    )
    source_real: float
    diversity_made: float  # mean distance between two of the class, over that of training utterances
    diversity_real: float


@dataclass(frozen=True, slots=True)
class Check:
    """`frechet_*`: squared distance to real training utterances of the same classes, by modality and `joint`."""

    classes: dict[int, ClassCheck]
    frechet_made: dict[str, float]
    frechet_real: dict[str, float]


def synthetic_rows(augmented: FeatureSet, real: int) -> tuple[Utterances, Tensor]:
    """The utterances that were added to the first `real` ones, and their labels int[n]."""
    made = augmented.label >= 0
    made[:real] = False
    return utterances_of(augmented).rows(made), augmented.label[made]


def check(train: FeatureSet, held_out: FeatureSet, made: Utterances, made_label: Tensor, classes: int) -> Check:
    """Compares `made`, from `train`, with `held_out`, which must have examples of every class in `made_label`."""
    space = Space.of(train)
    real, other, fake = (space.joined(one) for one in (utterances_of(train), utterances_of(held_out), made))
    guess_other, guess_fake = _linear_classifier(real, train.label, classes, other, fake)  # predicted classes
    any_other, any_fake = nearest_distance(other, real), nearest_distance(fake, real)
    by_class = {}
    for c in made_label.unique().tolist():
        t, o, f = train.label == c, held_out.label == c, made_label == c
        near_other, near_fake = nearest_distance(other[o], real[t]), nearest_distance(fake[f], real[t])
        spread = mean_distance(real[t])
        by_class[c] = ClassCheck(
            made=int(f.sum()),
            real=int(o.sum()),
            recognised_made=_share(guess_fake[f] == c),
            recognised_real=_share(guess_other[o] == c),
            nearest_made=float(near_fake.median()),
            nearest_real=float(near_other.median()),
            copies=_share(near_fake < near_other.quantile(0.05)),
            source_made=float(any_fake[f].median()),
            source_real=float(any_other[o].median()),
            diversity_made=mean_distance(fake[f]) / spread,
            diversity_real=mean_distance(other[o]) / spread,
        )
    reference = utterances_of(train).rows(torch.isin(train.label, torch.tensor(sorted(by_class))))
    # A small sample has a larger distance than a large one of the same distribution: equal counts on both sides.
    count = {c: min(one.made, one.real) for c, one in by_class.items()}
    some_made = made.rows(_evenly(made_label, count))
    some_real = utterances_of(held_out).rows(_evenly(held_out.label, count))
    return Check(by_class, _frechet(space, some_made, reference), _frechet(space, some_real, reference))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of the Gaussians with the moments of a (n, d) and b (m, d), as in FID
    (Heusel et al. 2017, arXiv 1706.08500): |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))."""
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.atleast_2d(a.T.cov()), torch.atleast_2d(b.T.cov())
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # (S_a S_b)^(1/2) has the trace of (S_a^(1/2) S_b S_a^(1/2))^(1/2), which is symmetric.
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    mean = (a.mean(0) - b.mean(0)).square().sum()
    return float(mean + cov_a.trace() + cov_b.trace() - 2 * cross)


def nearest_distance(points: Tensor, reference: Tensor) -> Tensor:
    """(n, d), (m, d) -> (n,): Euclidean distance to the nearest of `reference`, exactly 0 for a copy."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(part, reference, compute_mode=exact).amin(1) for part in points.split(256)])


def mean_distance(points: Tensor) -> float:
    """Between two different rows of (n, d); NaN for fewer than two rows."""
    return float(torch.pdist(points).mean())


def _frechet(space: Space, some: Utterances, reference: Utterances) -> dict[str, float]:
    distances = {}
    for name in reference.x:
        a = space.enter(some).x[name][some.present[name]]
        b = space.enter(reference).x[name][reference.present[name]]
        distances[name] = _projected_frechet(a, b) / b.shape[1]  # per feature: comparable across modalities
    distances["joint"] = _projected_frechet(space.joined(some), space.joined(reference))
    return distances


def _projected_frechet(a: Tensor, b: Tensor) -> float:
    """On the principal components of b."""
    directions = torch.linalg.svd(b - b.mean(0), full_matrices=False).Vh[:COMPONENTS].T  # (d, components)
    return frechet_distance(a @ directions, b @ directions)


def _linear_classifier(x: Tensor, label: Tensor, classes: int, *questions: Tensor) -> list[Tensor]:
    """Multinomial logistic regression with equal class weights; predicted classes int[n] of each of `questions`."""
    x, label = x[label >= 0], label[label >= 0]
    counts = torch.bincount(label, minlength=classes)
    weight = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros(()))
    theta = x.new_zeros(x.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ theta[:-1] + theta[-1], label, weight=weight) + 1e-3 * theta[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    fitted = theta.detach()
    return [(question @ fitted[:-1] + fitted[-1]).argmax(-1) for question in questions]


def _evenly(label: Tensor, count: dict[int, int]) -> Tensor:
    """Rows int[n], `count[c]` of each class, spread over its rows."""
    rows = {c: (label == c).nonzero().squeeze(1) for c in count}
    return torch.cat([rows[c][torch.arange(n) * len(rows[c]) // n] for c, n in count.items()])


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())

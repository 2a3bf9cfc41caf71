import numpy as np
import pytest

from cberl.encoders.normalize import RunningNormalizer, fit_prior
from cberl.errors import EncoderError

MEAN, SD, WEIGHT = [10.0, -3.0, 0.5], [2.0, 1.0, 0.1], 4


def utterances(n=40, seed=0):
    random = np.random.default_rng(seed)
    x = (random.standard_normal((n, 3)) * SD + MEAN).astype(np.float32)
    x[random.random(x.shape) < 0.2] = np.nan
    return [("abc"[i], row) for i, row in zip(random.integers(3, size=n), x, strict=True)]


def by_definition(past, x):
    """The same z-score, computed from all earlier utterances, with the prior as observations at mean +- sd."""
    z = np.zeros(3)
    for d in range(3):
        seen = [row[d] for row in past if not np.isnan(row[d])]
        prior = [MEAN[d] + SD[d], MEAN[d] - SD[d]] * (WEIGHT // 2)
        known = np.array(prior + seen, np.float64)
        z[d] = 0.0 if np.isnan(x[d]) else (x[d] - known.mean()) / known.std()
    return z


def test_each_value_is_normalised_by_the_speakers_own_past():
    normalizer, past = RunningNormalizer(MEAN, SD, WEIGHT), {}
    for speaker, x in utterances():
        before = past.setdefault(speaker, [])
        np.testing.assert_allclose(normalizer.push(speaker, x), by_definition(before, x), rtol=1e-4, atol=1e-5)
        before.append(x)
    assert set(past) == {"a", "b", "c"}


def test_push_equals_push_all_and_later_utterances_change_nothing():
    whole = RunningNormalizer(MEAN, SD, WEIGHT).push_all(utterances())
    live = RunningNormalizer(MEAN, SD, WEIGHT)
    np.testing.assert_array_equal(whole, np.stack([live.push(s, x) for s, x in utterances()]))
    other_future = utterances()[:20] + [(s, x * 7) for s, x in utterances(seed=1)]
    np.testing.assert_array_equal(RunningNormalizer(MEAN, SD, WEIGHT).push_all(other_future)[:20], whole[:20])


def test_peek_returns_what_push_returns_and_changes_nothing():
    normalizer = RunningNormalizer(MEAN, SD, WEIGHT)
    for speaker, x in utterances():
        seen = normalizer.peek(speaker, x)
        np.testing.assert_array_equal(normalizer.peek(speaker, x), seen)
        np.testing.assert_array_equal(normalizer.push(speaker, x), seen)


def test_an_outlier_is_clipped_and_has_little_effect_later():
    normalizer = RunningNormalizer(MEAN, SD, WEIGHT)
    usual = np.array(MEAN, np.float32)
    np.testing.assert_array_equal(normalizer.push("a", usual + 1e6), [5, 5, 5])
    for _ in range(20):
        last = normalizer.push("a", usual)
    assert (np.abs(last) < 0.5).all()


def test_the_prior_of_a_corpus_ignores_missing_values():
    mean, sd = fit_prior(np.array([[1, np.nan], [3, 10], [np.nan, 14]], np.float32))
    assert (mean, sd) == ([2.0, 12.0], [1.0, 2.0])
    assert all(type(number) is float for number in mean + sd)
    with pytest.raises(EncoderError, match=r"features \[1\] have fewer than two values"):
        fit_prior(np.array([[1, np.nan], [2, 3]]))
    with pytest.raises(EncoderError, match=r"features \[0\] never vary"):
        fit_prior(np.array([[1, 2], [1, 3]]))


@pytest.mark.parametrize(
    ("prior", "complaint"),
    [
        (([0.0], [1.0, 1.0], 1), "rows of one length"),
        (([0.0], [0.0], 1), "above zero"),
        (([np.nan], [1.0], 1), "finite"),
        (([0.0], [1.0], 0), "prior_weight"),
    ],
)
def test_an_invalid_prior_is_refused(prior, complaint):
    with pytest.raises(ValueError, match=complaint):
        RunningNormalizer(*prior)

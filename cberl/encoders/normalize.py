"""Normalisation that never looks ahead: each speaker against their own past, at first against the corpus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.frames import Float32, Float64

CLIP = 5.0


@dataclass(slots=True, eq=False)
class _Running:
    """Welford's running moments, a column each."""

    count: Float64
    mean: Float64
    squares: Float64  # sum of squared deviations from the mean

    def z(self, x: NDArray[np.floating]) -> Float64:
        """`x` in standard deviations, clipped to +-CLIP; NaN stays NaN."""
        sd = np.sqrt(self.squares / self.count)
        return np.clip((x - self.mean) / sd, -CLIP, CLIP)

    def add(self, x: NDArray[np.floating]) -> None:
        # What is clipped going out is clipped coming in, so that one blunder does not spoil a speaker's history.
        sd = np.sqrt(self.squares / self.count)
        value = np.clip(x, self.mean - CLIP * sd, self.mean + CLIP * sd)
        present = ~np.isnan(value)
        delta = np.where(present, value - self.mean, 0.0)
        self.count = self.count + present
        self.mean = self.mean + delta / self.count
        self.squares = self.squares + delta**2 * (self.count - 1) / self.count


class RunningNormalizer:
    """Per-speaker z-scores from what was known before the utterance.

    A speaker starts as `prior_weight` pseudo-observations of the corpus, so the first utterance is normalised by the
    corpus alone and each later one counts as much as a pseudo-observation. The utterance itself does not enter its own
    normalisation: it would shrink the very departure from the speaker's habit that carries the emotion, most of all
    early on. So `peek` and `push` give the same numbers, and nothing ever depends on the future.
    """

    def __init__(self, prior_mean: Sequence[float], prior_sd: Sequence[float], prior_weight: float) -> None:
        self._mean = np.asarray(prior_mean, dtype=np.float64)
        self._sd = np.asarray(prior_sd, dtype=np.float64)
        self._weight = float(prior_weight)
        if self._mean.ndim != 1 or self._mean.shape != self._sd.shape:
            raise ValueError(
                f"prior mean and sd must be rows of one length, not {self._mean.shape} and {self._sd.shape}"
            )
        if not (np.isfinite(self._mean).all() and np.isfinite(self._sd).all() and (self._sd > 0).all()):
            raise ValueError("the prior must be finite and its standard deviations above zero; fit it with fit_prior")
        if not self._weight > 0:
            raise ValueError(f"prior_weight must be above zero, not {prior_weight}: it stands in for a first utterance")
        self._speakers: dict[str, _Running] = {}

    def _corpus(self) -> _Running:
        return _Running(np.full_like(self._mean, self._weight), self._mean, self._weight * self._sd**2)

    def copy(self) -> "RunningNormalizer":
        """As it is now, to go on by itself."""
        other = RunningNormalizer([*self._mean], [*self._sd], self._weight)
        other._speakers = {name: replace(known) for name, known in self._speakers.items()}
        return other

    def peek(self, speaker: str, x: Float32) -> Float32:
        """`x`, float32[d], as `push` would return it, without remembering it: for interim results."""
        if x.shape != self._mean.shape:
            raise ValueError(f"expected {self._mean.shape[0]} numbers, got an array of shape {x.shape}")
        known = self._speakers.get(speaker) or self._corpus()
        return np.nan_to_num(known.z(x), nan=0.0).astype(np.float32)

    def push(self, speaker: str, x: Float32) -> Float32:
        """`x`, float32[d], in standard deviations of the speaker's past, within +-5; NaN (missing) becomes 0.

        Then `x` joins that past, its missing numbers excepted.
        """
        z = self.peek(speaker, x)
        self._speakers.setdefault(speaker, self._corpus()).add(x)
        return z

    def push_all(self, utterances: Iterable[tuple[str, Float32]]) -> Float32:
        """A whole dialogue at once, (speaker, float32[d]) in order of time -> float32[utterances, d]."""
        rows = [self.push(speaker, x) for speaker, x in utterances]
        return np.stack(rows) if rows else np.empty((0, len(self._mean)), np.float32)


def fit_prior(x: NDArray[np.floating]) -> tuple[list[float], list[float]]:
    """(mean, sd) of each column of a corpus [n, d], over the numbers that are not NaN; plain floats, for a config."""
    enough = (~np.isnan(x)).sum(axis=0) > 1
    if not enough.all():
        raise ValueError(f"columns {np.flatnonzero(~enough).tolist()} hold fewer than two numbers: nothing to fit")
    mean: Float64 = np.nanmean(x, axis=0, dtype=np.float64)
    sd: Float64 = np.nanstd(x, axis=0, dtype=np.float64)
    if not (sd > 0).all():
        raise ValueError(f"columns {np.flatnonzero(sd <= 0).tolist()} never vary: leave them out")
    return [float(m) for m in mean], [float(s) for s in sd]

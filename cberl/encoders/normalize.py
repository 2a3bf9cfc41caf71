"""Causal normalisation: each speaker by their own past, and at first by the corpus."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cberl.errors import EncoderError
from cberl.recent import RecentDict
from cberl.types import Float32, Float64

CLIP = 5.0


@dataclass(slots=True, eq=False)
class _Running:
    """Welford's running moments of each column."""

    count: Float64
    mean: Float64
    squares: Float64  # sum of squared deviations from the mean

    def z(self, x: NDArray[np.floating]) -> Float64:
        """`x` in standard deviations, clipped to +-CLIP; NaN stays NaN."""
        sd = np.sqrt(self.squares / self.count)
        return np.clip((x - self.mean) / sd, -CLIP, CLIP)

    def add(self, x: NDArray[np.floating]) -> None:
        # Clipped like the output, so that one outlier does not spoil a speaker's history.
        sd = np.sqrt(self.squares / self.count)
        value = np.clip(x, self.mean - CLIP * sd, self.mean + CLIP * sd)
        present = ~np.isnan(value)
        delta = np.where(present, value - self.mean, 0.0)
        self.count = self.count + present
        self.mean = self.mean + delta / self.count
        self.squares = self.squares + delta**2 * (self.count - 1) / self.count


class RunningNormalizer:
    """Per-speaker z-scores, by the utterances before the current one.

    A speaker starts with `prior_weight` pseudo-observations of the corpus: the first utterance is normalised by the
    corpus alone, and each later one counts as much as a pseudo-observation. An utterance does not enter its own
    normalisation, since that would reduce the deviation from the speaker's habit that carries the emotion, most of all
    in the first few utterances. So `peek` and `push` return the same numbers, and nothing depends on the future.
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
            raise ValueError(f"prior_weight must be above zero, not {prior_weight}: it normalises first utterances")
        self._speakers: RecentDict[str, _Running] = RecentDict()

    def _corpus(self) -> _Running:
        return _Running(np.full_like(self._mean, self._weight), self._mean, self._weight * self._sd**2)

    def copy(self) -> "RunningNormalizer":
        """An independent normalizer with the same past."""
        other = RunningNormalizer([*self._mean], [*self._sd], self._weight)
        for name, known in self._speakers.items():
            other._speakers[name] = replace(known)
        return other

    def moments(self) -> dict[str, Float64]:
        """float64[3, d] per speaker: count, mean and sum of squared deviations."""
        return {name: np.stack([it.count, it.mean, it.squares]) for name, it in self._speakers.items()}

    def restore(self, moments: Mapping[str, Float64]) -> None:
        """The past of these speakers. Raises ValueError where the arrays are of another shape or not finite."""
        for name, rows in moments.items():
            if rows.shape != (3, len(self._mean)) or not np.isfinite(rows).all():
                raise ValueError(f"expected finite moments of shape (3, {len(self._mean)}), not {rows.shape}")
            self._speakers[name] = _Running(*rows.copy())

    def peek(self, speaker: str, x: Float32) -> Float32:
        """What `push` would return for `x`, float32[d], without adding it to the past: for interim results."""
        if x.shape != self._mean.shape:
            raise ValueError(f"expected {self._mean.shape[0]} numbers, got an array of shape {x.shape}")
        known = self._speakers.get(speaker) or self._corpus()
        return np.nan_to_num(known.z(x), nan=0.0).astype(np.float32)

    def push(self, speaker: str, x: Float32) -> Float32:
        """`x`, float32[d], in standard deviations of the speaker's past, within +-5; NaN (missing) becomes 0.

        Then adds `x` to that past, except for its missing values.
        """
        z = self.peek(speaker, x)
        known = self._speakers[speaker] = self._speakers.get(speaker) or self._corpus()
        known.add(x)
        return z

    def push_all(self, utterances: Iterable[tuple[str, Float32]]) -> Float32:
        """A whole dialogue: (speaker, float32[d]) in order of time -> float32[utterances, d]."""
        rows = [self.push(speaker, x) for speaker, x in utterances]
        return np.stack(rows) if rows else np.empty((0, len(self._mean)), np.float32)


def fit_prior(x: NDArray[np.floating]) -> tuple[list[float], list[float]]:
    """(mean, sd) of each column of a corpus [n, d], ignoring NaN; plain floats, for a config. Raises `EncoderError`."""
    enough = (~np.isnan(x)).sum(axis=0) > 1
    if not enough.all():
        raise EncoderError(
            f"audio features {np.flatnonzero(~enough).tolist()} have fewer than two values: nothing to fit"
        )
    mean: Float64 = np.nanmean(x, axis=0, dtype=np.float64)
    sd: Float64 = np.nanstd(x, axis=0, dtype=np.float64)
    if not (sd > 0).all():
        raise EncoderError(f"audio features {np.flatnonzero(sd <= 0).tolist()} never vary: leave them out")
    return [float(m) for m in mean], [float(s) for s in sd]

"""Fits the linear heads of the speech emotion network to pooled states: emotions, and vocal events."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cberl.encoders.normalize import fit_prior
from cberl.encoders.speech_emotion import VOCAL_EVENTS, SpeechHead
from cberl.labels import MELD
from cberl.types import Float32

Ints = NDArray[np.int64]
Names = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class HeadTraining:
    """Chosen by leaving a corpus out; see `cberl/weights/speech/README.md`."""

    passes: int = 8  # conversations that each actor's clips are arranged in
    turns: tuple[int, int] = (4, 48)  # of a person in one conversation
    clips_per_actor: int = (
        150  # in each pass of a fit: else TESS's two women, with 1,400 clips each, would be the voices
    )
    weight_decay: float = 1.0
    event_weight_decay: float = 0.01
    prior_weight: float = 4.0
    folds: int = 5  # of people, for the temperature and the thresholds
    precision: float = 0.95  # of a vocal event, for people held out
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ActedStates:
    """`turns` float32[clips, copies, 768], NaN where there is none; `label` int[clips]; `actor` str[clips]."""

    turns: Float32
    label: Ints
    actor: Names

    def of(self, actors: Sequence[str]) -> "ActedStates":
        chosen = np.isin(self.actor, list(actors))
        return ActedStates(self.turns[chosen], self.label[chosen], self.actor[chosen])

    def clean(self) -> "ActedStates":
        """The recordings themselves, without augmented copies."""
        return replace(self, turns=self.turns[:, :1])


def fit_head(acted: ActedStates, config: HeadTraining) -> SpeechHead:
    """A head for emotions, with its temperature chosen on actors held out; without vocal events."""
    _, temperature = _held_out(acted, config)
    return _sharpened(fit_uncalibrated(acted, config), temperature)


def held_out_heads(acted: ActedStates, config: HeadTraining) -> list[tuple[list[str], SpeechHead]]:
    """(some actors, a head that has never heard them) for disjoint groups of all actors."""
    groups, temperature = _held_out(acted, config)
    return [(people, _sharpened(head, temperature)) for people, head in groups]


def _held_out(acted: ActedStates, config: HeadTraining) -> tuple[list[tuple[list[str], SpeechHead]], float]:
    """Heads of temperature 1 as `held_out_heads`, and the temperature that fits them best."""
    everybody = sorted({*map(str, acted.actor)})
    groups, scores, labels = [], [], []
    for people in folds(everybody, config.folds):
        head = fit_uncalibrated(acted.of([actor for actor in everybody if actor not in people]), config)
        normalised, label = conversations(acted.of(people), head, config)
        groups.append((people, head))
        scores.append(normalised @ head.weight.T + head.bias)
        labels.append(label)
    return groups, _temperature(np.concatenate(scores), np.concatenate(labels))


def _sharpened(head: SpeechHead, temperature: float) -> SpeechHead:
    return replace(head, weight=head.weight / temperature, bias=head.bias / temperature)


def accuracy(head: SpeechHead, acted: ActedStates, config: HeadTraining) -> float:
    """Unweighted average recall, %, over the actors' clips in conversations of random order."""
    normalised, label = conversations(acted, head, config)
    right = head.probabilities(normalised).argmax(axis=1) == label
    return 100 * float(np.mean([right[label == one].mean() for one in np.unique(label)]))


def conversations(
    acted: ActedStates, head: SpeechHead, config: HeadTraining, clips_per_actor: int | None = None
) -> tuple[Float32, Ints]:
    """(states normalised by the speaker's past, float32[rows, 768]; labels int[rows]), each clip once per pass.

    clips_per_actor: at most so many in each pass, others in each; None = all.
    """
    rng = np.random.default_rng(config.seed)
    rows, labels = [], []
    for turns in _conversations(acted, config, clips_per_actor, rng):
        past = head.normalizer()
        for clip in turns:
            state = acted.turns[clip, rng.integers(acted.turns.shape[1])]
            if not np.isnan(state[0]):
                rows.append(past.push("", state))
                labels.append(acted.label[clip])
    return np.stack(rows), np.array(labels)


def _conversations(
    acted: ActedStates, config: HeadTraining, clips_per_actor: int | None, rng: np.random.Generator
) -> Iterator[Ints]:
    """The clips of one actor at a time, by index, in random order."""
    for _ in range(config.passes):
        for actor in np.unique(acted.actor):
            clips = rng.permutation(np.flatnonzero(acted.actor == actor))[:clips_per_actor]
            while len(clips):
                count = int(rng.integers(config.turns[0], config.turns[1] + 1))
                yield clips[:count]
                clips = clips[count:]


def fit_uncalibrated(acted: ActedStates, config: HeadTraining) -> SpeechHead:
    """Multinomial logistic regression with balanced classes. Its temperature is 1, which is enough for an accuracy."""
    mean, sd = fit_prior(acted.turns.reshape(-1, acted.turns.shape[2]))  # (clips, copies, 768) -> (rows, 768)
    nothing = np.empty((0, len(mean)), np.float32)
    head = SpeechHead(
        np.array(mean, np.float32), np.array(sd, np.float32), nothing, nothing[:, 0], nothing, nothing[:, 0],
        nothing[:, 0], config.prior_weight,
    )  # fmt: skip
    x, label = (torch.from_numpy(rows) for rows in conversations(acted, head, config, config.clips_per_actor))
    balance = 1 / torch.bincount(label, minlength=len(MELD)).clamp_min(1)
    weight, bias = _minimised(
        lambda logits: F.cross_entropy(logits, label, balance / balance.mean()), x, len(MELD), config.weight_decay
    )
    return replace(head, weight=weight, bias=bias)


def with_events(
    head: SpeechHead, states: Float32, kind: Names, person: Names, config: HeadTraining
) -> tuple[SpeechHead, dict[str, dict[str, float]]]:
    """The head with vocal events, and their precision and recall (%) for people held out.

    states: float32[rows, 768], one per window; kind: str[rows], one of `VOCAL_EVENTS` or something else; person:
    str[rows]. Each threshold is the lowest with the configured precision for people held out.
    """
    x = torch.from_numpy((states - head.mean) / head.sd)
    truth = torch.from_numpy(np.stack([kind == name for name in VOCAL_EVENTS], axis=1))
    held_out = np.zeros(truth.shape, np.float32)
    for people in folds(sorted({*map(str, person)}), config.folds):
        rows = torch.from_numpy(np.isin(person, people))
        weight, bias = _fit_events(x[~rows], truth[~rows], config)
        held_out[rows.numpy()] = 1 / (1 + np.exp(-(x[rows].numpy() @ weight.T + bias)))
    thresholds, scores = [], {}
    for n, name in enumerate(VOCAL_EVENTS):
        threshold = _threshold(held_out[:, n], truth[:, n].numpy(), config.precision)
        found, true = held_out[:, n] > threshold, truth[:, n].numpy()
        hits = float((found & true).sum())
        precision, recall = 100 * hits / max(found.sum(), 1), 100 * hits / true.sum()
        scores[name] = {"precision": round(float(precision), 1), "recall": round(float(recall), 1)}
        thresholds.append(threshold)
    weight, bias = _fit_events(x, truth, config)
    limits = np.array(thresholds, np.float32)
    return replace(head, event_weight=weight, event_bias=bias, event_threshold=limits), scores


def folds(people: Sequence[str], count: int) -> list[list[str]]:
    """Disjoint groups of people; fewer than `count` where there are fewer people."""
    order = np.random.default_rng(0).permutation(len(people))
    return [[people[n] for n in part] for part in np.array_split(order, min(count, len(people)))]


def _fit_events(x: Tensor, truth: Tensor, config: HeadTraining) -> tuple[Float32, Float32]:
    target = truth.float()
    return _minimised(
        lambda logits: F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=1).mean(),
        x, truth.shape[1], config.event_weight_decay,
    )  # fmt: skip


def _threshold(probability: Float32, true: NDArray[np.bool_], precision: float) -> float:
    """The lowest with this precision, but at least 0.5."""
    order = np.argsort(-probability)
    precise = true[order].cumsum() / np.arange(1, len(order) + 1) >= precision
    lowest = probability[order[np.flatnonzero(precise)[-1]]] if precise.any() else 1.0
    return max(0.5, float(lowest) - 1e-6)


def _minimised(
    loss: Callable[[Tensor], Tensor], x: Tensor, outputs: int, weight_decay: float
) -> tuple[Float32, Float32]:
    """(weight float32[outputs, d], bias float32[outputs]) of the linear layer with the lowest loss, by L-BFGS."""
    weight, bias = torch.zeros(outputs, x.shape[1], requires_grad=True), torch.zeros(outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total: Tensor = loss(x @ weight.T + bias) + weight_decay / 2 * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()


def _temperature(logits: Float32, label: Ints) -> float:
    """By which the logits are divided for the lowest cross-entropy."""
    candidates = np.geomspace(0.1, 10, 81)
    scores, labels = torch.from_numpy(logits), torch.from_numpy(label)
    losses = [float(F.cross_entropy(scores / float(one), labels)) for one in candidates]
    return float(candidates[int(np.argmin(losses))])

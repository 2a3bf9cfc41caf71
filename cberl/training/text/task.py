"""What a text encoder is fine-tuned on: a corpus, its examples of an epoch, and the loss of a batch."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cberl.data.asr_noise import AsrNoise
from cberl.data.dialogue import Dialogue
from cberl.encoders.text import TextInput, TextPrompt
from cberl.losses import class_weights, soft_cross_entropy
from cberl.training.text.checkpoint import TextTraining
from cberl.training.text.classifier import Example, batches, collate, examples

WHISPER_WORD_NOISE = 0.5  # its highest word error rate, of that of simple recognisers


@dataclass(frozen=True, slots=True)
class Task:
    """A corpus to train on; `dev` may be empty for any but the first."""

    corpus: str
    labels: tuple[str, ...]
    train: Sequence[Dialogue]
    dev: Sequence[Dialogue] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    run: "TaskRun"
    inputs: tuple[Tensor, Tensor, Tensor]  # the encoder's, each (B, T)
    shares: Tensor  # (B, classes); a row of zeros without a label
    soft_labels: Tensor  # (B, classes); (B, 0) without teachers


class TaskRun:
    """The examples that one head is trained on, and its class weights."""

    def __init__(self, task: Task, train: Sequence[Example], config: TextTraining) -> None:
        self.corpus = task.corpus
        self._classes = len(task.labels)
        self._train = train
        self._config = config
        self._noise = AsrNoise(one.text for one in train)
        self._by_class = self._sorted_by_class()
        counts = torch.tensor([self._shares(one) for one in train]).sum(0)
        self._weight = class_weights(counts.clamp(max=config.class_cap or torch.inf), config.class_weight_power)

    @property
    def epoch_size(self) -> int:
        """The number of examples per epoch: all, or of a frequent class as many as its cap."""
        cap = self._config.class_cap
        return sum(min(len(rows), cap or len(rows)) for rows in self._by_class)

    def epoch(self, prompt: TextPrompt, rng: random.Random) -> list[Batch]:
        """Shuffled batches. Of a class above its cap, each epoch has other examples."""
        cap = self._config.class_cap
        rows = [one for rows in self._by_class for one in (rng.sample(rows, cap) if 0 < cap < len(rows) else rows)]
        inputs = [self._input(one, prompt, rng) for one in rows]
        cut = batches([len(one.ids) for one in inputs], self._config.batch_size, rng)
        return [self._batch([rows[i] for i in places], [inputs[i] for i in places]) for places in cut]

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy with the labels, by class weights, and with soft labels, whose teachers had class weights."""
        config = self._config
        hard = soft_cross_entropy(logits, batch.shares, self._weight, config.label_smoothing)
        if not batch.soft_labels.shape[1]:
            return hard
        return (1 - config.teacher_share) * hard + config.teacher_share * F.cross_entropy(logits, batch.soft_labels)

    def _shares(self, one: Example) -> tuple[float, ...]:
        return one.shares or (0.0,) * self._classes

    def _sorted_by_class(self) -> list[list[Example]]:
        """The examples by the class with the largest share, of equal ones the rarest; last those without any."""
        counts = torch.tensor([self._shares(one) for one in self._train]).sum(0).tolist()
        found: dict[int, list[Example]] = defaultdict(list)
        for one in self._train:
            shares = self._shares(one)
            best = max(range(self._classes), key=lambda label: (shares[label], -counts[label]))
            found[best if one.shares else self._classes].append(one)
        return [found[label] for label in sorted(found)]

    def _batch(self, rows: list[Example], inputs: list[TextInput]) -> Batch:
        shares = torch.tensor([self._shares(one) for one in rows])
        return Batch(self, collate(inputs), shares, torch.tensor([one.soft_labels for one in rows]))

    def _input(self, one: Example, prompt: TextPrompt, rng: random.Random) -> TextInput:
        config = self._config
        draw = rng.random() - config.strip_punctuation
        if draw >= config.whisper_style:
            return prompt.build(one.past, one.speaker, one.text)
        corrupt, most = (self._noise.plain, 1.0) if draw < 0 else (self._noise.whisper, WHISPER_WORD_NOISE)
        rate = rng.uniform(0, most * config.word_noise)
        past = [(speaker, corrupt(text, rate, rng)) for speaker, text in one.past]
        return prompt.build(past, one.speaker, corrupt(one.text, rate, rng))


def training_examples(task: Task, config: TextTraining) -> list[Example]:
    """A task's lines with a label, or with several at once, as shares of the classes; votes get `votes_share`."""
    classes = len(task.labels)
    found = []
    for one in examples(task.train, config.past_turns, several=True):
        label = tuple(float(one.label == place) for place in range(classes))
        votes = one.shares or label
        share = config.votes_share if one.label >= 0 else 1.0
        shares = tuple((1 - share) * a + share * b for a, b in zip(label, votes, strict=True))
        found.append(replace(one, shares=shares))
    return found

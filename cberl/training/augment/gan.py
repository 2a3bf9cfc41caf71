"""Trains the feature-space CycleGAN that translates utterances of other emotions into rare ones.

Source utterances are of any other class, target utterances of a rare class. Both are translated and back:
    source -> as_target -> source_again        target -> as_source -> target_again
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cberl.data.dialogue import DataError
from cberl.data.features import FeatureSet
from cberl.nn.fusion import Modalities
from cberl.nn.gan import Discriminators, EmotionClassifier, Generators, cycle_loss, discriminator_loss, generator_loss
from cberl.training.augment.space import Space, Utterances, utterances_of


@dataclass(frozen=True, slots=True)
class GanConfig:
    steps: int = 1000  # updates of each network
    batch: int = 96  # source utterances per step, and as many real ones of the rare classes
    hidden_dim: int = 128  # of each network
    generator_rate: float = 5e-4  # Adam's learning rates
    discriminator_rate: float = 1e-3
    classifier_rate: float = 1e-3
    noise: float = 0.5  # sd of noise on the classifier's input, against adversarial examples
    cycle: float = 2.0  # weight of the cycle loss
    emotion: float = 1.0  # weight of the classification loss of translations
    dropout: float = 0.3  # of discriminators and classifier, against memorising the few examples of a rare class
    average: float = 0.99  # decay of the moving average of generator weights, which makes the utterances
    report_every: int = 100  # steps between two reports
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GanStep:
    """Mean losses since the last report."""

    step: int
    discriminator: float
    adversarial: float
    cycle: float
    emotion: float  # classification loss of translations, for the generators
    classifier: float


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Row i of `source` is translated to the class of row i of `target`. In the coordinates of `Space`."""

    source: Utterances
    source_label: Tensor
    target: Utterances
    target_label: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """The translations of a batch in both directions, and back."""

    as_target: Modalities
    source_again: Modalities
    as_source: Modalities
    target_again: Modalities


class GanTrainer:
    """The training of one seed; after it, `translate` makes utterances."""

    def __init__(self, config: GanConfig, features: FeatureSet, classes: int, rare: Iterable[int]) -> None:
        """rare: the classes to make. Raises `DataError` if one of them, or all other classes, have no example."""
        self.config = config
        self.space = Space.of(features)
        self.real = self.space.enter(utterances_of(features))
        self.label = features.label
        known = self.label >= 0
        self.rows = {c: (self.label == c).nonzero().squeeze(1) for c in rare}
        self.others = {c: (known & (self.label != c)).nonzero().squeeze(1) for c in self.rows}
        for c in self.rows:
            if not len(self.rows[c]) or not len(self.others[c]):
                raise DataError(f"class {c} cannot be augmented: it and another class need training examples")
        self.random = torch.Generator().manual_seed(config.seed)
        dims = {name: values.shape[1] for name, values in features.x.items()}
        with torch.random.fork_rng(devices=[]):  # leaves the caller's random state unchanged
            torch.manual_seed(config.seed)
            self.to_target = Generators(dims, classes, config.hidden_dim)
            self.to_source = Generators(dims, classes, config.hidden_dim)
            self.discriminators = Discriminators(dims, classes, config.hidden_dim, config.dropout)
            self.classifier = EmotionClassifier(dims, classes, config.hidden_dim, config.dropout, config.noise)
            self.dropout_state = torch.get_rng_state()
        self.average = AveragedModel(self.to_target, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        self.generator_optimizer = _adam([self.to_target, self.to_source], config.generator_rate)
        self.discriminator_optimizer = _adam([self.discriminators], config.discriminator_rate)
        self.classifier_optimizer = _adam([self.classifier], config.classifier_rate)

    def run(self, report: Callable[[GanStep], None] = lambda _: None) -> None:
        """All steps."""
        totals = torch.zeros(5)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.dropout_state)
            for step in range(1, self.config.steps + 1):
                totals += torch.tensor(self.step(self.sample()))
                if step % self.config.report_every == 0:
                    report(GanStep(step, *(totals / self.config.report_every).tolist()))
                    totals.zero_()

    def step(self, pairs: Pairs) -> tuple[float, float, float, float, float]:
        """One update of each network; the losses in `GanStep`'s order."""
        made = self.translate_round(pairs)
        discriminator = self.update_discriminators(pairs, made)
        classifier = self.update_classifier(pairs, made)
        adversarial, cycle, emotion = self.update_generators(pairs, made)
        return discriminator, adversarial, cycle, emotion, classifier

    def sample(self) -> Pairs:
        """Equally many of each rare class; sources by the frequency of their classes."""
        each = self.config.batch // len(self.rows)
        target = torch.cat([_draw(rows, each, self.random) for rows in self.rows.values()])
        source = torch.cat([_draw(rows, each, self.random) for rows in self.others.values()])
        return Pairs(self.real.rows(source), self.label[source], self.real.rows(target), self.label[target])

    def translate_round(self, pairs: Pairs) -> Round:
        source, target = pairs.source, pairs.target
        as_target = self.to_target(source.x, source.present, pairs.target_label)
        as_source = self.to_source(target.x, target.present, pairs.source_label)
        return Round(
            as_target=as_target,
            source_again=self.to_source(as_target, source.present, pairs.source_label),
            as_source=as_source,
            target_again=self.to_target(as_source, target.present, pairs.target_label),
        )

    def update_discriminators(self, pairs: Pairs, made: Round) -> float:
        source, target = pairs.source, pairs.target
        with parametrize.cached():  # spectral normalisation once for all four calls
            as_target = self.discriminators(_detached(made.as_target), source.present, pairs.target_label)
            as_source = self.discriminators(_detached(made.as_source), target.present, pairs.source_label)
            real_target = self.discriminators(target.x, target.present, pairs.target_label)
            real_source = self.discriminators(source.x, source.present, pairs.source_label)
        loss = discriminator_loss(real_target, as_target) + discriminator_loss(real_source, as_source)
        return _update(self.discriminator_optimizer, loss)

    def update_classifier(self, pairs: Pairs, made: Round) -> float:
        """On real utterances, and on those translated back."""
        source, target = pairs.source, pairs.target
        loss = F.cross_entropy(self.classifier(source.x, source.present), pairs.source_label)
        loss = loss + F.cross_entropy(self.classifier(target.x, target.present), pairs.target_label)
        loss = loss + self._cycled(pairs, _detached(made.source_again), _detached(made.target_again))
        return _update(self.classifier_optimizer, loss)

    def update_generators(self, pairs: Pairs, made: Round) -> tuple[float, float, float]:
        """-> adversarial, cycle and emotion loss, unweighted."""
        source, target = pairs.source, pairs.target
        critics = nn.ModuleList([self.discriminators, self.classifier]).requires_grad_(False)  # gradients pass through
        with parametrize.cached():
            as_target = self.discriminators(made.as_target, source.present, pairs.target_label)
            as_source = self.discriminators(made.as_source, target.present, pairs.source_label)
        adversarial = generator_loss(as_target) + generator_loss(as_source)
        cycle = cycle_loss(source.x, made.source_again, source.present)
        cycle = cycle + cycle_loss(target.x, made.target_again, target.present)
        emotion = F.cross_entropy(self.classifier(made.as_target, source.present), pairs.target_label)
        emotion = emotion + F.cross_entropy(self.classifier(made.as_source, target.present), pairs.source_label)
        emotion = emotion + self._cycled(pairs, made.source_again, made.target_again)
        _update(self.generator_optimizer, adversarial + self.config.cycle * cycle + self.config.emotion * emotion)
        critics.requires_grad_(True)
        self.average.update_parameters(self.to_target)
        return adversarial.item(), cycle.item(), emotion.item()

    def _cycled(self, pairs: Pairs, source_again: Modalities, target_again: Modalities) -> Tensor:
        """The classification loss of utterances that were translated back."""
        source = F.cross_entropy(self.classifier(source_again, pairs.source.present), pairs.source_label)
        target = F.cross_entropy(self.classifier(target_again, pairs.target.present), pairs.target_label)
        return source + target

    @torch.no_grad()
    def translate(self, features: FeatureSet, slots: Tensor, random: torch.Generator) -> Utterances:
        """For each slot int[n] a random training utterance of another class, translated to the class of the slot.

        It has the modalities of the utterance that it was translated from.
        """
        label = features.label[slots]
        source = torch.empty_like(slots)
        for c in label.unique().tolist():
            source[label == c] = _draw(self.others[c], int((label == c).sum()), random)
        chosen = self.real.rows(source)
        return self.space.leave(Utterances(self.average(chosen.x, chosen.present, label), chosen.present))


def train_gan(
    config: GanConfig,
    features: FeatureSet,
    classes: int,
    rare: Iterable[int],
    report: Callable[[GanStep], None] = lambda _: None,
) -> GanTrainer:
    """A trained `GanTrainer`; `features` must be training data."""
    trainer = GanTrainer(config, features, classes, rare)
    trainer.run(report)
    return trainer


def _adam(parts: list[nn.Module], rate: float) -> torch.optim.Adam:
    return torch.optim.Adam([p for part in parts for p in part.parameters()], rate, betas=(0.5, 0.99))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One step of the optimizer's parameters."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _draw(rows: Tensor, count: int, random: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (count,), generator=random)]


def _detached(x: Modalities) -> Modalities:
    return {name: values.detach() for name, values in x.items()}

"""Augmentation of the training data with utterances of rare emotions: by which method, and how many."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from cberl.data.features import FeatureSet
from cberl.training.augment.gan import GanConfig, GanStep, train_gan
from cberl.training.augment.oversample import oversample, smote
from cberl.training.augment.placement import Maker, lift, shortage

Method = Literal["none", "oversample", "smote", "gan"]


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    method: Method = "none"
    cap: float = 3.0  # a class grows at most to this multiple of its count, and never past the median class
    neighbours: int = 5  # SMOTE: how many of the nearest are interpolated with
    gan: GanConfig = field(default_factory=GanConfig)
    seed: int = 0


def augment(
    features: FeatureSet, config: AugmentConfig, classes: int, report: Callable[[GanStep], None] = lambda _: None
) -> FeatureSet:
    """Training features, then copies of dialogues with synthetic utterances of the rare classes.

    In the copies only synthetic utterances are labelled. Equal seeds give equal slots, whatever the method. `report` is
    called during the GAN's training.
    """
    if config.method == "none" or not shortage(features.label, classes, config.cap).any():
        return features
    return lift(features, maker(features, config, classes, report), classes, cap=config.cap, seed=config.seed)


def maker(
    features: FeatureSet, config: AugmentConfig, classes: int, report: Callable[[GanStep], None] = lambda _: None
) -> Maker:
    """The function that makes utterances; a GAN is trained first. Raises `ValueError` for the method `none`."""
    match config.method:
        case "oversample":
            return oversample
        case "smote":
            return partial(smote, neighbours=config.neighbours)
        case "gan":
            rare = shortage(features.label, classes, config.cap).nonzero().squeeze(1).tolist()
            return train_gan(config.gan, features, classes, rare, report).translate
        case "none":
            raise ValueError("the method 'none' makes no utterances: use oversample, smote or gan")

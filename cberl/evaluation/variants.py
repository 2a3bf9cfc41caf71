"""Variants of a split with fewer modalities, or without context."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from cberl.data.features import FeatureSet


def only(features: FeatureSet, modalities: Sequence[str]) -> FeatureSet:
    """The same utterances with every other modality absent."""
    present = {name: has & (name in modalities) for name, has in features.present.items()}
    return replace(features, present=present)


def without_context(features: FeatureSet) -> FeatureSet:
    """Every utterance as a dialogue of its own. (The text encoder's input still has past turns.)"""
    return replace(features, lengths=torch.ones_like(features.label))


def half_missing(features: FeatureSet, modalities: Sequence[str], seed: int) -> FeatureSet:
    """Each of these modalities of an utterance is removed with probability 1/2.

    An utterance that would lose all of them keeps a random one, so a little less than half is removed.
    """
    generator = torch.Generator().manual_seed(seed)
    has = torch.stack([features.present[name] for name in modalities])  # (M, N)
    kept = has & (torch.rand(has.shape, generator=generator) < 0.5)
    spared = torch.rand(has.shape, generator=generator).masked_fill(~has, -1.0).argmax(0)  # (N,)
    bare = has.any(0) & ~kept.any(0)
    kept[spared[bare], bare.nonzero().squeeze(1)] = True
    return replace(features, present=features.present | dict(zip(modalities, kept, strict=True)))


def share_missing(complete: FeatureSet, less: FeatureSet, modalities: Sequence[str]) -> float:
    """The share of these modalities of `complete` that is absent in `less`, 0..1."""
    total, left = (sum(int(one.present[name].sum()) for name in modalities) for one in (complete, less))
    return 1 - left / max(total, 1)

"""Small feature sets and untrained networks for tests."""

from dataclasses import replace

import torch

from cberl.calibration import Calibration
from cberl.checkpoint import Checkpoint
from cberl.config import ModelConfig
from cberl.data.features import FeatureSet
from cberl.evaluation.compare import Group
from cberl.model import CBERL

CONFIG = ModelConfig(labels=("a", "b", "c"), text_dim=6, audio_dim=4, latent_dim=8, hidden_dim=8, heads=2)


def features(seed: int = 0) -> FeatureSet:
    """Twelve dialogues of five utterances; text always, audio in two of three, a label in three of four."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(-1, 3, (60,), generator=generator)
    return FeatureSet(
        {"text": torch.randn(60, 6, generator=generator), "audio": torch.randn(60, 4, generator=generator)},
        {"text": torch.ones(60, dtype=torch.bool), "audio": torch.arange(60) % 3 > 0},
        torch.arange(60) % 2,
        label,
        torch.full((12,), 5),
    )


def group(name: str, *seeds: int, tau: float = 0.0, **shape: object) -> Group:
    """Untrained networks of CONFIG, changed by `shape`, with a prior and large logits, so that all classes occur."""
    made = []
    for seed in seeds:
        torch.manual_seed(seed)
        model = CBERL(replace(CONFIG, **shape)).eval()  # type: ignore[arg-type]
        torch.nn.init.normal_(model.head.body[-1].weight, std=5.0)
        made.append(
            Checkpoint(name, model, Calibration((-0.5, -1.0, -2.0), tau), provenance={"training": {"coverage": 0.9}})
        )
    return Group(name, made)

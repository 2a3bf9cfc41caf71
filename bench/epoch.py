"""What does an epoch of training cost, compared with one of a multilayer perceptron with as many parameters?

    python bench/epoch.py            a table
    python bench/epoch.py --json     one object

Both train on the same features with the same batches, optimizer and clipping, and are scored on dev after the epoch.
Epochs alternate, and the fastest of each is reported, because other load only adds time. The features are MELD's if
`--cache` has them, else noise of the same shape, which takes the same time.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet, load_features
from cberl.training.core.train import Trainer

# Utterances per dialogue, as in MELD: 9.6 on average, at most 24.
TRAIN_DIALOGUES, DEV_DIALOGUES = 1038, 114
ALL_TERMS = {
    "focal_gamma": 2.0,
    "vae_weight": 0.1,
    "mask_weight": 0.1,
    "contrastive_weight": 0.1,
    "ema_decay": 0.99,
}


def features(cache: Path, split: str, dialogues: int) -> tuple[FeatureSet, str]:
    """A split and its source."""
    found = sorted(cache.glob(f"meld-{split}-*.safetensors"))
    if found:
        return load_features(found[0]), "MELD"
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 19, (dialogues,), generator=random)
    count = int(lengths.sum())
    x = {name: torch.randn(count, dim, generator=random) for name, dim in (("text", 384), ("audio", 8))}
    present = {name: torch.ones(count, dtype=torch.bool) for name in x}
    speaker, label = (torch.randint(0, high, (count,), generator=random) for high in (4, 7))
    return FeatureSet(x, present, speaker, label, lengths), "noise in MELD's shape"


class Perceptron:
    """Two hidden layers over the concatenated modalities; the width follows from the number of parameters."""

    def __init__(self, parameters: int, config: TrainConfig, train: FeatureSet, dev: FeatureSet) -> None:
        self.config, self.train_set, self.dev_set = config, train, dev
        self.names = list(config.model.modality_dims)
        inputs, classes = sum(config.model.modality_dims.values()), len(config.model.labels)
        per_width = inputs + classes + 2  # width^2 + per_width * width + classes parameters
        width = round((-per_width + (per_width**2 + 4 * parameters) ** 0.5) / 2)
        hidden = (nn.Linear(inputs, width), nn.GELU(), nn.Dropout(0.3), nn.Linear(width, width), nn.GELU())
        self.model = nn.Sequential(*hidden, nn.Dropout(0.3), nn.Linear(width, classes))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def run_epoch(self) -> None:
        self.model.train()
        for chosen in torch.randperm(len(self.train_set.lengths)).split(self.config.batch_dialogues):
            loss = self._loss(chosen)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        self.model.eval()
        with torch.inference_mode():
            self._loss(torch.arange(len(self.dev_set.lengths)), self.dev_set).item()

    def _loss(self, chosen: Tensor, given: FeatureSet | None = None) -> Tensor:
        batch, label = (given or self.train_set).batch(chosen)
        return F.cross_entropy(self.model(torch.cat([batch.x[name] for name in self.names], dim=-1)), label)


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def measure(cache: Path, epochs: int) -> dict[str, object]:
    """The fastest of `epochs` epochs of each, after a warm-up epoch."""
    (train, source), (dev, _) = features(cache, "train", TRAIN_DIALOGUES), features(cache, "dev", DEV_DIALOGUES)
    dims = {f"{name}_dim": train.x[name].shape[1] for name in train.x}
    plain = TrainConfig(contrastive_weight=0.0, model=ModelConfig(**dims))
    trainers = {"CBERL, plain": Trainer(plain, train, dev)}
    trainers["CBERL, all terms"] = full = Trainer(replace(plain, **ALL_TERMS), train, dev)
    parameters = count(full.model, full.objective)
    perceptron = Perceptron(parameters, plain, train, dev)
    runs: dict[str, Callable[[], object]] = {"perceptron": perceptron.run_epoch}
    runs |= {name: trainer.run_epoch for name, trainer in trainers.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(epochs + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    fastest = {name: min(all_s[1:]) for name, all_s in times.items()}
    sizes = {"perceptron": count(perceptron.model)}
    sizes |= {name: count(trainer.model, trainer.objective) for name, trainer in trainers.items()}
    return {
        "features": source,
        "utterances": len(train.label),
        "threads": torch.get_num_threads(),
        "epochs": epochs,
        "parameters": sizes,
        "epoch_s": {name: round(epoch_s, 3) for name, epoch_s in fastest.items()},
        "ratio": {name: round(epoch_s / fastest["perceptron"], 2) for name, epoch_s in fastest.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of encoded features")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = measure(given.cache, given.epochs)
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{found['utterances']} utterances ({found['features']}), {given.threads} thread(s), best of {given.epochs}\n"
    )
    print(f"{'':20}{'parameters':>12}{'epoch':>10}{'ratio':>8}")
    parameters, epoch_s, ratio = found["parameters"], found["epoch_s"], found["ratio"]
    for name in epoch_s:
        print(f"{name:20}{parameters[name]:>12,}{epoch_s[name]:>8.2f} s{ratio[name]:>8.2f}")


if __name__ == "__main__":
    main()

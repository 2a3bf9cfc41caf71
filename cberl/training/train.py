"""Trains CBERL on cached features: dev selection, early stop, resumable.

A run's folder holds `last.pt` (everything needed to go on), `log.jsonl` (one line an epoch) and, at the end, the
checkpoint.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cberl.calibration import Calibration, fit_temperature, log_prior
from cberl.checkpoint import Checkpoint
from cberl.config import TrainConfig
from cberl.data.features import FeatureSet
from cberl.losses import class_weights, focal_loss
from cberl.metrics import Scores, score
from cberl.model import CBERL, Batch

TAUS = tuple(i / 20 for i in range(21))  # 0 .. 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch did, as logged and reported."""

    epoch: int
    loss: float
    dev_weighted_f1: float
    dev_macro_f1: float
    best: bool


class Trainer:
    """One seed's training. The random state belongs to the run, so that a resumed run goes on as if never stopped."""

    def __init__(self, config: TrainConfig, train: FeatureSet, dev: FeatureSet, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.train_set, self.dev_set = train, dev
        self.device = device
        self.model = CBERL(config.model).to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        counts = torch.bincount(train.label[train.label >= 0], minlength=len(config.model.labels))
        self.weight = class_weights(counts, config.class_weight_power).to(device)
        self.noise = {name: _feature_sd(train, name) * config.feature_noise for name in config.model.modality_dims}
        self.epoch = 0
        self.since_best = 0
        self.best_selection = -1.0
        self.best_state: dict[str, Tensor] = {}

    @property
    def done(self) -> bool:
        return self.epoch >= self.config.epochs or self.since_best >= self.config.patience

    def run_epoch(self) -> Epoch:
        """One pass over the training dialogues, then a look at dev."""
        self.model.train()
        order = torch.randperm(len(self.train_set.lengths))
        losses = []
        for chosen in order.split(self.config.batch_dialogues):
            batch, label = self.train_set.batch(chosen)
            logits = self.model(_to(self._corrupt(batch), self.device)).logits
            loss = focal_loss(
                logits,
                label.to(self.device),
                gamma=self.config.focal_gamma,
                weight=self.weight,
                smoothing=self.config.label_smoothing,
            )
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            losses.append(loss.item())
        self.epoch += 1
        scores = self.dev_scores()
        improved = scores.selection > self.best_selection
        self.since_best = 0 if improved else self.since_best + 1
        if improved:
            self.best_selection = scores.selection
            self.best_state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        mean_loss = sum(losses) / len(losses)
        return Epoch(self.epoch, mean_loss, scores.weighted_f1, scores.macro_f1, improved)

    def dev_scores(self) -> Scores:
        logits, label = predict(self.model, self.dev_set, self.device)
        known = label >= 0
        return score(label[known].numpy(), logits[known].argmax(-1).numpy(), self.config.model.labels)

    def _corrupt(self, batch: Batch) -> Batch:
        """Modality dropout and feature noise: live input is never as clean as the corpus."""
        names = list(self.config.model.modality_dims)
        has = torch.stack([batch.present[name] for name in names])  # (M, N)
        drop = has & (torch.rand(has.shape) < self.config.modality_dropout)
        kept = has & ~drop
        kept = torch.where(kept.any(0), kept, has)  # never the last one
        x = {name: batch.x[name] + torch.randn(batch.x[name].shape) * self.noise[name] for name in names}
        return Batch(x, dict(zip(names, kept, strict=True)), batch.speaker, batch.lengths)

    def finish(self, name: str, encoders: dict[str, Any], provenance: dict[str, Any]) -> Checkpoint:
        """The best epoch's network, with decisions and probabilities calibrated on dev."""
        self.model.load_state_dict(self.best_state)
        logits, label = predict(self.model, self.dev_set, self.device)
        calibration = calibrate(logits, label, self.train_set.label, self.config.model.labels)
        training = {key: value for key, value in asdict(self.config).items() if key != "model"}
        return Checkpoint(name, self.model, calibration, encoders, {**provenance, "training": training})

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "config": json.dumps(asdict(self.config)),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "since_best": self.since_best,
            "best_selection": self.best_selection,
            "best_state": self.best_state,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken. Raises `ValueError` when it belongs to another configuration."""
        if state["config"] != json.dumps(asdict(self.config)):
            raise ValueError("the run to resume was started with other settings: give the same ones, or another --out")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.epoch, self.since_best = state["epoch"], state["since_best"]
        self.best_selection, self.best_state = state["best_selection"], state["best_state"]


def fit(trainer: Trainer, out: Path, *, resume: bool, report: Callable[[Epoch], None]) -> None:
    """Runs epochs until done, saving after each, so that a killed run loses one epoch at most."""
    out.mkdir(parents=True, exist_ok=True)
    last, journal = out / "last.pt", out / "log.jsonl"
    if resume and last.is_file():
        trainer.resume(torch.load(last, weights_only=True))
    else:
        journal.unlink(missing_ok=True)
    while not trainer.done:
        epoch = trainer.run_epoch()
        unfinished = last.with_suffix(".part")
        torch.save(trainer.state(), unfinished)
        unfinished.replace(last)
        with journal.open("a") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
        report(epoch)


@torch.inference_mode()
def predict(model: CBERL, features: FeatureSet, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Logits (N, C) and labels int[N], on the CPU."""
    model.eval()
    batch, label = features.whole()
    return model(_to(batch, device)).logits.cpu(), label


def calibrate(logits: Tensor, label: Tensor, train_label: Tensor, names: tuple[str, ...]) -> Calibration:
    """tau with the best dev selection score, then the temperature with the least dev cross-entropy."""
    prior = log_prior(train_label, len(names))
    known = label >= 0

    def selection(tau: float) -> float:
        decided = Calibration(prior, tau).decide(logits[known])
        return score(label[known].numpy(), decided.numpy(), names).selection

    tau = max(TAUS, key=selection)
    return Calibration(prior, tau, fit_temperature(logits, label, Calibration(prior, tau)))


def _feature_sd(features: FeatureSet, name: str) -> Tensor:
    """(dim,) over the rows that have the modality; 0 where hardly any has."""
    rows = features.x[name][features.present[name]]
    return rows.std(0) if len(rows) > 1 else torch.zeros(features.x[name].shape[1])


def _to(batch: Batch, device: str) -> Batch:
    if device == "cpu":
        return batch
    x = {name: values.to(device) for name, values in batch.x.items()}
    present = {name: has.to(device) for name, has in batch.present.items()}
    return Batch(x, present, batch.speaker.to(device), batch.lengths.to(device))


def set_threads(count: int) -> None:
    """More threads than cores, or two busy jobs, slow each other many times over: the number is the caller's choice."""
    torch.set_num_threads(count)

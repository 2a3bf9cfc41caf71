"""Trains CBERL on cached features, with selection on dev, early stopping and resuming.

A run's folder holds `last.pt` (the state to resume from), `log.jsonl` (one line per epoch), TensorBoard curves of the
same figures and, at the end, the checkpoint.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cberl.calibration import Calibration
from cberl.calibration_fit import fit_temperature, log_prior, threshold_at_coverage
from cberl.checkpoint import Checkpoint
from cberl.config import TrainConfig
from cberl.data.features import FeatureSet
from cberl.errors import TrainingError
from cberl.metrics import Scores, score
from cberl.model import CBERL, Batch
from cberl.storage import replacing
from cberl.training.core.curves import Curves
from cberl.training.core.objective import FeatureScale, Objective

TAUS = tuple(i / 20 for i in range(21))  # 0 .. 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """The figures of one epoch, as logged and reported. `losses`: the mean of each term, before weighting."""

    epoch: int
    loss: float
    losses: dict[str, float]
    dev_weighted_f1: float
    dev_macro_f1: float
    learning_rate: float
    best: bool

    @property
    def scalars(self) -> dict[str, float]:
        """By the names of their curves."""
        terms = {f"loss/{name}": value for name, value in {"total": self.loss, **self.losses}.items()}
        scores = {"dev/weighted_f1": self.dev_weighted_f1, "dev/macro_f1": self.dev_macro_f1}
        return {**terms, **scores, "learning_rate": self.learning_rate}


class Trainer:
    """The training of one seed. Its state includes the random state, so that a resumed run gives the same result."""

    def __init__(self, config: TrainConfig, train: FeatureSet, dev: FeatureSet, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.train_set, self.dev_set = train, dev
        self.device = device
        self.model = CBERL(config.model).to(device)
        scales = {name: FeatureScale.of(train, name) for name in config.model.modality_dims}
        counts = torch.bincount(train.label[train.label >= 0], minlength=len(config.model.labels))
        self.objective = Objective(config, counts, scales).to(device)
        self.noise = {name: scale.sd * config.feature_noise for name, scale in scales.items()}
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.optimizer = torch.optim.AdamW(
            [*self.model.parameters(), *self.objective.parameters()],
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.epoch = 0
        self.since_best = 0
        self.best_selection = -1.0
        self.best_state: dict[str, Tensor] = {}

    @property
    def done(self) -> bool:
        return self.epoch >= self.config.epochs or self.since_best >= self.config.patience

    @property
    def scored(self) -> CBERL:
        """The network that is scored on dev and stored in the checkpoint: the weights, or their moving average."""
        return cast(CBERL, self.average.module) if self.config.ema_decay else self.model

    def run_epoch(self) -> Epoch:
        """One pass over the training dialogues, then scores on dev."""
        self.model.train()
        order = torch.randperm(len(self.train_set.lengths)).split(self.config.batch_dialogues)
        sums: dict[str, float] = defaultdict(float)
        for chosen in order:
            for name, value in self._step(*self.train_set.batch(chosen)).items():
                sums[name] += value.item()
        losses = {name: value / len(order) for name, value in sums.items()}
        loss = losses.pop("total")
        self.epoch += 1
        scores = self.dev_scores()
        improved = scores.selection > self.best_selection
        self.since_best = 0 if improved else self.since_best + 1
        if improved:
            self.best_selection = scores.selection
            self.best_state = {name: value.detach().clone() for name, value in self.scored.state_dict().items()}
        rate = self.optimizer.param_groups[0]["lr"]
        return Epoch(self.epoch, loss, losses, scores.weighted_f1, scores.macro_f1, rate, improved)

    def _step(self, batch: Batch, label: Tensor) -> dict[str, Tensor]:
        """Updates on one batch. Returns the terms of the loss, and their weighted sum as `total`."""
        shown = _to(self._corrupt(batch), self.device)
        terms = self.objective(self.model, _to(batch, self.device), shown, label.to(self.device))
        total = self.objective.total(terms)
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
        self.optimizer.step()
        if self.config.ema_decay:
            self.average.update_parameters(self.model)
        return {name: term.detach() for name, term in terms.items()} | {"total": total.detach()}

    def dev_scores(self) -> Scores:
        logits, label = predict(self.scored, self.dev_set, self.device)
        known = label >= 0
        return score(label[known].numpy(), logits[known].argmax(-1).numpy(), self.config.model.labels)

    def _corrupt(self, batch: Batch) -> Batch:
        """Modality dropout and feature noise, since live input is less clean than the corpus."""
        names = list(self.config.model.modality_dims)
        has = torch.stack([batch.present[name] for name in names])  # (M, N)
        drop = has & (torch.rand(has.shape) < self.config.modality_dropout)
        kept = has & ~drop
        kept = torch.where(kept.any(0), kept, has)  # an utterance that would lose all modalities keeps them
        x = {name: batch.x[name] + torch.randn(batch.x[name].shape) * self.noise[name] for name in names}
        return Batch(x, dict(zip(names, kept, strict=True)), batch.speaker, batch.lengths)

    def finish(self, name: str, encoders: dict[str, Any], provenance: dict[str, Any]) -> Checkpoint:
        """The best epoch's network, with decisions and probabilities calibrated on dev."""
        self.scored.load_state_dict(self.best_state)
        logits, label = predict(self.scored, self.dev_set, self.device)
        calibration = calibrate(logits, label, self.train_set.label, self.config.model.labels, self.config.coverage)
        training = {key: value for key, value in asdict(self.config).items() if key != "model"}
        return Checkpoint(name, self.scored, calibration, encoders, {**provenance, "training": training})

    def state(self) -> dict[str, Any]:
        """All state that the next epoch depends on."""
        return {
            "config": json.dumps(asdict(self.config)),
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "since_best": self.since_best,
            "best_selection": self.best_selection,
            "best_state": self.best_state,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continues from `state`. Raises `TrainingError` if it belongs to another configuration."""
        if state["config"] != json.dumps(asdict(self.config)):
            raise TrainingError(
                "the run to resume was started with other settings: give the same ones, or another --out"
            )
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.epoch, self.since_best = state["epoch"], state["since_best"]
        self.best_selection, self.best_state = state["best_selection"], state["best_state"]


def fit(trainer: Trainer, out: Path, *, resume: bool, report: Callable[[Epoch], None]) -> None:
    """Runs epochs until done, saving after each, so that a killed run loses at most one epoch.

    `last.pt` is written last: epochs that only the log and the curves have are removed from them when the run resumes.
    """
    out.mkdir(parents=True, exist_ok=True)
    last, journal = out / "last.pt", out / "log.jsonl"
    if resume and last.is_file():
        trainer.resume(torch.load(last, weights_only=True))
        _truncate(journal, trainer.epoch)
    else:
        for old in (last, journal, *out.glob("events.out.tfevents.*")):
            old.unlink(missing_ok=True)
    with Curves(out, trainer.epoch) as curves:
        while not trainer.done:
            epoch = trainer.run_epoch()
            with journal.open("a") as file:
                file.write(json.dumps(asdict(epoch)) + "\n")
            curves.add(epoch.epoch, epoch.scalars)
            with replacing(last) as unfinished:
                torch.save(trainer.state(), unfinished)
            report(epoch)


def _truncate(path: Path, count: int) -> None:
    """Keeps the first `count` lines."""
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    with replacing(path) as unfinished:
        unfinished.write_text("".join(lines[:count]))


@torch.inference_mode()
def predict(model: CBERL, features: FeatureSet, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Logits (N, C) and labels int[N], on the CPU."""
    model.eval()
    batch, label = features.whole()
    return model(_to(batch, device)).logits.cpu(), label


def calibrate(
    logits: Tensor, label: Tensor, train_label: Tensor, names: tuple[str, ...], coverage: float = 1.0
) -> Calibration:
    """tau with the highest selection score on dev, then the temperature with the least cross-entropy on dev.

    Then the threshold of confidence that a share `coverage` of dev reaches: decisions below it are called uncertain.
    """
    prior = log_prior(train_label, len(names))
    known = label >= 0

    def selection(tau: float) -> float:
        decided = Calibration(prior, tau).decide(logits[known].numpy())
        return score(label[known].numpy(), decided, names).selection

    tau = max(TAUS, key=selection)
    fitted = Calibration(prior, tau, fit_temperature(logits, label, Calibration(prior, tau)))
    confidence = torch.from_numpy(fitted.probabilities(logits[known].double().numpy())).amax(-1)
    return replace(fitted, uncertain_below=threshold_at_coverage(confidence, coverage))


def _to(batch: Batch, device: str) -> Batch:
    if device == "cpu":
        return batch
    x = {name: values.to(device) for name, values in batch.x.items()}
    present = {name: has.to(device) for name, has in batch.present.items()}
    return Batch(x, present, batch.speaker.to(device), batch.lengths.to(device))


def set_threads(count: int) -> None:
    """PyTorch's CPU threads. More than there are free cores slow training down many times."""
    torch.set_num_threads(count)

"""Fine-tunes a text encoder for emotion recognition with past turns in its input, on one corpus or several.

    cberl finetune-text --data MELD --out runs/text

Keeps every epoch, and returns the one with the best scores on the first corpus's dev. Needs the `train` extra.
`cberl.training.text.export` exports the result.
"""

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from cberl.data.asr_noise import AsrNoise
from cberl.data.dialogue import Dialogue
from cberl.encoders.text import TextInput, TextPrompt
from cberl.errors import TrainingError
from cberl.losses import class_weights, focal_loss
from cberl.metrics import Scores, score, scores_of
from cberl.storage import replacing
from cberl.training.text.checkpoint import TextTraining, prompt_of, save, weights_to_start_from
from cberl.training.text.classifier import (
    Example,
    TextClassifier,
    batches,
    collate,
    examples,
    load_base,
    predict,
)
from cberl.training.text.distil import teacher_probabilities, with_soft_labels

WHISPER_WORD_NOISE = 0.5  # its highest word error rate, of that of simple recognisers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A corpus to train on; `dev` may be empty for any but the first."""

    corpus: str
    labels: tuple[str, ...]
    train: Sequence[Dialogue]
    dev: Sequence[Dialogue] = ()


@dataclass(frozen=True, slots=True)
class _Batch:
    run: "_Run"
    inputs: tuple[Tensor, Tensor, Tensor]  # the encoder's, each (B, T)
    label: Tensor  # (B,)
    soft_labels: Tensor  # (B, classes); (B, 0) without teachers


class _Run:
    """The examples that one head is trained on, and its class weights."""

    def __init__(self, task: Task, train: Sequence[Example], config: TextTraining) -> None:
        self.corpus = task.corpus
        self.train = train
        self.noise = AsrNoise(one.text for one in train)
        labels = torch.tensor([one.label for one in train if one.label >= 0])
        self.weight = class_weights(torch.bincount(labels, minlength=len(task.labels)), config.class_weight_power)

    def epoch(self, prompt: TextPrompt, config: TextTraining, rng: random.Random) -> list[_Batch]:
        inputs = [self._input(one, prompt, config, rng) for one in self.train]
        cut = batches([len(one.ids) for one in inputs], config.batch_size, rng)
        return [self._batch([self.train[i] for i in rows], [inputs[i] for i in rows]) for rows in cut]

    def loss(self, logits: Tensor, label: Tensor, soft_labels: Tensor, config: TextTraining) -> Tensor:
        """Cross-entropy with the labels, by class weights, and with soft labels, whose teachers had class weights."""
        hard = focal_loss(logits, label, weight=self.weight, smoothing=config.label_smoothing)
        if not soft_labels.shape[1]:
            return hard
        return (1 - config.teacher_share) * hard + config.teacher_share * F.cross_entropy(logits, soft_labels)

    def _batch(self, rows: list[Example], inputs: list[TextInput]) -> _Batch:
        labels, soft = torch.tensor([one.label for one in rows]), torch.tensor([one.soft_labels for one in rows])
        return _Batch(self, collate(inputs), labels, soft)

    def _input(self, one: Example, prompt: TextPrompt, config: TextTraining, rng: random.Random) -> TextInput:
        draw = rng.random() - config.strip_punctuation
        if draw >= config.whisper_style:
            return prompt.build(one.past, one.speaker, one.text)
        corrupt, most = (self.noise.plain, 1.0) if draw < 0 else (self.noise.whisper, WHISPER_WORD_NOISE)
        rate = rng.uniform(0, most * config.word_noise)
        past = [(speaker, corrupt(text, rate, rng)) for speaker, text in one.past]
        return prompt.build(past, one.speaker, corrupt(one.text, rate, rng))


class _Last:
    """The file from which a stopped run continues."""

    def __init__(self, path: Path, config: TextTraining, parts: dict[str, Any], rng: random.Random) -> None:
        self._path, self._parts, self._rng = path, parts, rng
        self._config = asdict(config)

    def load(self, labels: Sequence[str]) -> list[Scores]:
        """Restores the state. Returns the dev scores of the epochs that are done; none if there is no file."""
        if not self._path.is_file():
            return []
        state = torch.load(self._path, weights_only=True)
        if state["config"] != self._config:
            raise TrainingError(
                "the run to resume was started with other settings: give the same ones, or another --out"
            )
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self._rng.setstate(state["order"])
        torch.set_rng_state(state["dropout"])
        return [scores_of(np.array(confusion), labels) for confusion in state["dev"]]

    def save(self, kept: Sequence[Scores]) -> None:
        state = {name: part.state_dict() for name, part in self._parts.items()}
        random_states = {"order": self._rng.getstate(), "dropout": torch.get_rng_state()}
        dev = [scores.confusion.tolist() for scores in kept]
        with replacing(self._path) as unfinished:
            torch.save(state | random_states | {"config": self._config, "dev": dev}, unfinished)


def finetune(
    tasks: Sequence[Task],
    out: Path,
    config: TextTraining,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
    device: str = "cpu",
    *,
    resume: bool = False,
) -> tuple[int, Scores]:
    """Trains on all tasks, mixed, and writes `epoch-N.pt` (weights, config) and `last.pt` (to resume from) to `out`.

    start: an `epoch-N.pt` whose encoder to start from, and whose heads for the same corpora. teachers: `epoch-N.pt`
    files whose probabilities for the text without noise are soft labels in addition to the first task's labels; labels
    of other tasks then are ignored, and the probabilities are kept in `out`. resume: continue after the last epoch in
    `out`, with the same result as without a stop. Returns the best epoch, from 1, and its scores on the first task's
    dev. Raises `TrainingError` if the run to resume had other settings, or a file does not fit.
    """
    rng = random.Random(config.seed)
    encoder, folder = load_base(config.base)
    rows = [examples(task.train, config.past_turns) for task in tasks]
    if teachers:
        everything = [one for group in rows for one in group]
        probabilities = teacher_probabilities(everything, tasks[0].corpus, teachers, device, out)
        rows, tasks = [with_soft_labels(rows, probabilities)], tasks[:1]
    classes = {task.corpus: len(task.labels) for task in tasks}
    torch.manual_seed(config.seed)  # after the teachers, so that it does not matter whether they had to run
    model = TextClassifier(encoder, classes, config.head_dropout)
    if start is not None:
        model.load_state_dict(weights_to_start_from(start, config.base, classes), strict=False)
    model.to(device)
    prompt = prompt_of(config, folder)
    runs = [_Run(task, train, config) for task, train in zip(tasks, rows, strict=True)]
    steps = config.epochs * sum(math.ceil(len(run.train) / config.batch_size) for run in runs)
    weights = model.parameters()
    optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_linear(step, steps, config.warmup))
    out.mkdir(parents=True, exist_ok=True)
    last = _Last(out / "last.pt", config, {"model": model, "optimizer": optimizer, "schedule": schedule}, rng)
    kept = last.load(tasks[0].labels) if resume else []
    with Progress() as progress:
        bar = progress.add_task("fine-tuning", total=steps, completed=schedule.last_epoch)
        for epoch in range(len(kept) + 1, config.epochs + 1):
            model.train()
            mixed = [batch for run in runs for batch in run.epoch(prompt, config, rng)]
            rng.shuffle(mixed)
            for batch in mixed:
                _step(model, batch, optimizer, config)
                schedule.step()
                progress.advance(bar)
            scores = dev_scores(model, tasks[0], prompt)
            log.info("epoch %d: dev weighted F1 %.2f, macro F1 %.2f", epoch, scores.weighted_f1, scores.macro_f1)
            save(out / f"epoch-{epoch}.pt", model, classes, config, epoch, scores)
            kept.append(scores)
            last.save(kept)
    best = max(range(len(kept)), key=lambda epoch: kept[epoch].selection)
    return best + 1, kept[best]


def _step(model: TextClassifier, batch: _Batch, optimizer: torch.optim.Optimizer, config: TextTraining) -> None:
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(batch.run.corpus, *(given.to(device) for given in batch.inputs))
    loss = batch.run.loss(logits.float().cpu(), batch.label, batch.soft_labels, config)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def dev_scores(model: TextClassifier, task: Task, prompt: TextPrompt, *, exact: bool = False) -> Scores:
    """Scores of the encoder's own head on a task's dev dialogues, in bfloat16 unless `exact`."""
    inputs, labels = dev_inputs(task, prompt)
    return score(labels, predict(model, task.corpus, inputs, exact=exact).argmax(1).numpy(), task.labels)


def dev_inputs(task: Task, prompt: TextPrompt) -> tuple[list[TextInput], NDArray[np.int64]]:
    """The encoder's inputs for a task's dev dialogues, and the labels."""
    dev = examples(task.dev, prompt.past_turns)
    return [prompt.build(one.past, one.speaker, one.text) for one in dev], np.array([one.label for one in dev])


def average(paths: Sequence[Path], task: Task, out: Path) -> Scores:
    """Writes the mean of the weights of several runs with one start as one file (model soup, Wortsman et al. 2022).

    Returns its scores on the task's dev. Raises `TrainingError` if the networks have different shapes.
    """
    states = [torch.load(path, weights_only=True, map_location="cpu") for path in paths]
    kinds = {tuple(sorted((name, tuple(one.shape)) for name, one in state["model"].items())) for state in states}
    if len(kinds) != 1:
        raise TrainingError("these files hold networks of different shapes: average runs on the same corpora")
    mean = {
        name: torch.stack([state["model"][name].float() for state in states]).mean(0).to(one.dtype)
        for name, one in states[0]["model"].items()
    }
    config = TextTraining(**states[0]["config"])
    encoder, folder = load_base(config.base)
    model = TextClassifier(encoder, states[0]["classes"])
    model.load_state_dict(mean)
    scores = dev_scores(model, task, prompt_of(config, folder))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(out, model, states[0]["classes"], config, states[0]["epoch"], scores)
    return scores


def _warm_linear(step: int, steps: int, warmup: float) -> float:
    warm = warmup * steps
    return step / warm if step < warm else max(0.0, (steps - step) / (steps - warm))

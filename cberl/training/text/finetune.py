"""Fine-tunes a text encoder for emotion recognition with past turns in its input, on one corpus or several.

    cberl finetune-text --data MELD --out runs/text

Keeps every epoch, and returns the one with the best scores on the first corpus's dev. Needs the `train` extra.
`cberl.training.text.export` exports the result.
"""

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cberl.encoders.text import TextInput, TextPrompt
from cberl.errors import TrainingError
from cberl.metrics import Scores, score, scores_of
from cberl.progress import progress
from cberl.storage import replacing
from cberl.training.text.checkpoint import TextTraining, prompt_of, save, weights_to_start_from
from cberl.training.text.classifier import Example, TextClassifier, examples, load_base, predict
from cberl.training.text.distil import teacher_probabilities, with_soft_labels
from cberl.training.text.task import Batch, Task, TaskRun, training_examples

DevScores = dict[str, Scores]  # by corpus

log = logging.getLogger(__name__)


class _Last:
    """The file from which a stopped run continues."""

    def __init__(self, path: Path, config: TextTraining, parts: dict[str, Any], rng: random.Random) -> None:
        self._path, self._parts, self._rng = path, parts, rng
        self._config = asdict(config)

    def load(self, tasks: Sequence[Task]) -> list[DevScores]:
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
        labels = {task.corpus: task.labels for task in tasks}
        return [
            {corpus: scores_of(np.array(confusion), labels[corpus]) for corpus, confusion in epoch.items()}
            for epoch in state["dev"]
        ]

    def save(self, kept: Sequence[DevScores]) -> None:
        state = {name: part.state_dict() for name, part in self._parts.items()}
        random_states = {"order": self._rng.getstate(), "dropout": torch.get_rng_state()}
        dev = [{corpus: scores.confusion.tolist() for corpus, scores in epoch.items()} for epoch in kept]
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
) -> tuple[int, DevScores]:
    """Trains on all tasks, mixed, and writes `epoch-N.pt` (weights, config) and `last.pt` (to resume from) to `out`.

    Tasks with one label set share a head but for its biases. start: an `epoch-N.pt` whose encoder to start from, and
    whose heads for the same corpora. teachers: `epoch-N.pt` files whose probabilities for the text without noise are
    soft labels in addition to the first task's labels; a task with another label set then has these instead of its
    labels, and the probabilities are kept in `out`. resume: continue after the last epoch in `out`, with the same
    result as without a stop. Returns the best epoch, from 1, and its scores on the dev of each task that has one; it is
    the best by the mean over these. Raises `TrainingError` if the run to resume had other settings, or a file does not
    fit.
    """
    rng = random.Random(config.seed)
    encoder, folder = load_base(config.base)
    given = [(task, training_examples(task, config)) for task in tasks]
    if teachers:
        given = _with_teachers(given, teachers, device, out)
        tasks = [task for task, _ in given]
    classes = {task.corpus: len(task.labels) for task in tasks}
    torch.manual_seed(config.seed)  # after the teachers, so that it does not matter whether they had to run
    model = TextClassifier(encoder, classes, config.head_dropout)
    model.share_head([task.corpus for task in tasks if task.labels == tasks[0].labels])
    if start is not None:
        model.load_state_dict(weights_to_start_from(start, config.base, classes), strict=False)
    model.to(device)
    prompt = prompt_of(config, folder)
    runs = [TaskRun(task, train, config) for task, train in given]
    steps = config.epochs * sum(math.ceil(run.epoch_size / config.batch_size) for run in runs)
    optimizer, schedule = _optimizer(model, config, steps)
    out.mkdir(parents=True, exist_ok=True)
    last = _Last(out / "last.pt", config, {"model": model, "optimizer": optimizer, "schedule": schedule}, rng)
    kept = last.load(tasks) if resume else []
    with progress() as shown:
        bar = shown.add_task("fine-tuning", total=steps, completed=schedule.last_epoch)
        for epoch in range(len(kept) + 1, config.epochs + 1):
            model.train()
            mixed = [batch for run in runs for batch in run.epoch(prompt, rng)]
            rng.shuffle(mixed)
            for batch in mixed:
                _step(model, batch, optimizer)
                schedule.step()
                shown.advance(bar)
            kept.append({task.corpus: dev_scores(model, task, prompt) for task in tasks if task.dev})
            for corpus, scores in kept[-1].items():
                log.info(
                    "epoch %d: %s dev weighted F1 %.2f, macro F1 %.2f",
                    epoch,
                    corpus,
                    scores.weighted_f1,
                    scores.macro_f1,
                )
            save(out / f"epoch-{epoch}.pt", model, classes, config, epoch, kept[-1][tasks[0].corpus])
            last.save(kept)
    best = max(range(len(kept)), key=lambda epoch: mean(scores.selection for scores in kept[epoch].values()))
    return best + 1, kept[best]


def _with_teachers(
    given: Sequence[tuple[Task, list[Example]]], teachers: Sequence[Path], device: str, cache: Path
) -> list[tuple[Task, list[Example]]]:
    """The teachers' probabilities for the first task, which takes in those with another label set."""
    first, _ = given[0]
    same = [one for one in given[1:] if one[0].labels == first.labels]
    rows = [given[0][1], *(train for task, train in given if task.labels != first.labels)]
    everything = [one for group in rows for one in group]
    probabilities = teacher_probabilities(everything, first.corpus, teachers, device, cache)
    return [(first, with_soft_labels(rows, probabilities)), *same]


def _optimizer(
    model: TextClassifier, config: TextTraining, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_linear(step, steps, config.warmup))
    return optimizer, schedule


def _step(model: TextClassifier, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(batch.run.corpus, *(given.to(device) for given in batch.inputs))
    loss = batch.run.loss(logits.float().cpu(), batch)
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

    Heads for corpora that not all of them were trained on are left out. Returns its scores on the task's dev. Raises
    `TrainingError` if the networks have different shapes.
    """
    states = [torch.load(path, weights_only=True, map_location="cpu") for path in paths]
    config = TextTraining(**states[0]["config"])
    encoder, folder = load_base(config.base)
    classes = {
        corpus: count
        for corpus, count in states[0]["classes"].items()
        if all(state["classes"].get(corpus) == count for state in states)
    }
    model = TextClassifier(encoder, classes)
    try:
        averaged = {
            name: torch.stack([state["model"][name].float() for state in states]).mean(0).to(one.dtype)
            for name, one in model.state_dict().items()
        }
        model.load_state_dict(averaged)
    except (KeyError, RuntimeError) as error:
        raise TrainingError("these files hold networks of different shapes: average runs with one start") from error
    scores = dev_scores(model, task, prompt_of(config, folder))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(out, model, classes, config, states[0]["epoch"], scores)
    return scores


def _warm_linear(step: int, steps: int, warmup: float) -> float:
    warm = warmup * steps
    return step / warm if step < warm else max(0.0, (steps - step) / (steps - warm))

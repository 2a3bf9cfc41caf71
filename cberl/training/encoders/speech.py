"""Trains the speech emotion network on RAVDESS's acted speech, with splits by speaker.

    cberl train-encoder speech --data RAVDESS --out runs/speech

Keeps the epoch with the best score on the dev speakers. `cberl.training.encoders.export` exports the result for
`cberl.encoders.speech_emotion`.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F

from cberl.data.ravdess import SPLITS, Clip, read_ravdess
from cberl.encoders.logmel import log_mel
from cberl.labels import MELD
from cberl.metrics import score
from cberl.nn.speech import SpeechNet
from cberl.training.encoders.schedules import moving_average, resume, warm_cosine
from cberl.training.encoders.speech_augment import SpeechAugmentation, augment_speech, mask_frames
from cberl.types import SAMPLE_RATE, Float32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpeechTraining:
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    label_smoothing: float = 0.1
    dropout: float = 0.2
    ema_decay: float = 0.99  # per step
    augmentation: SpeechAugmentation = field(default_factory=SpeechAugmentation)
    refit: bool = False  # once the settings are chosen: train on the dev speakers as well, and keep the last epoch
    seed: int = 0


def train_speech(data: Path, out: Path, config: SpeechTraining) -> dict[str, Any]:
    """Writes `last.pt` after each epoch, and `best.pt` if dev improved. Returns the scores.

    With `refit`, the dev speakers are trained on as well, and `best.pt` is the last epoch.
    """
    torch.manual_seed(config.seed)
    train, dev = (read_ravdess(data, SPLITS[name]) for name in ("train", "dev"))
    train = train + dev if config.refit else train
    labels = torch.tensor([clip.label for clip in train])
    model = SpeechNet(dropout=config.dropout)
    average = moving_average(model, config.ema_decay)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    batches = math.ceil(len(train) / config.batch_size)
    steps = config.epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, steps, config.warmup))
    parts: dict[str, Any] = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    out.mkdir(parents=True, exist_ok=True)
    first, best = resume(out / "last.pt", parts)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=steps, completed=schedule.last_epoch)
        for epoch in range(first, config.epochs):
            rng = np.random.default_rng((config.seed, epoch))
            torch.manual_seed(1000 * config.seed + epoch)  # of dropout, so that a resumed run gives the same result
            model.train()
            for rows in np.array_split(rng.permutation(len(train)), batches):
                frames = _augmented([train[row] for row in rows], config.augmentation, rng)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = model(frames)
                loss = F.cross_entropy(logits.float(), labels[rows], label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                average.update_parameters(model)
                progress.advance(task)
            scores = score(_labels(dev), predict(average.module, dev).argmax(1), MELD)
            which = "dev (trained on)" if config.refit else "dev"
            log.info("epoch %d: loss %.3f, %s accuracy %.2f %%", epoch, loss.item(), which, scores.accuracy)
            if scores.selection > best or config.refit:
                best = scores.selection
                torch.save(
                    {"model": average.module.state_dict(), "config": asdict(config), "epoch": epoch}, out / "best.pt"
                )
            torch.save(
                {name: part.state_dict() for name, part in parts.items()} | {"epoch": epoch, "best": best},
                out / "last.pt",
            )
    return evaluate(data, out / "best.pt", ("test",) if config.refit else ("dev", "test"))


def evaluate(data: Path, best: Path, splits: Sequence[str]) -> dict[str, Any]:
    """Scores on the speakers of `splits`."""
    model = load_speech(best)
    parts = {name: read_ravdess(data, SPLITS[name]) for name in splits}
    return {
        name: score(_labels(clips), predict(model, clips).argmax(1), MELD).as_dict() for name, clips in parts.items()
    }


def load_speech(best: Path) -> SpeechNet:
    """The network of `best.pt`, in evaluation mode."""
    model = SpeechNet()
    model.load_state_dict(torch.load(best, weights_only=True)["model"])
    return model.eval()


@torch.inference_mode()
def predict(model: nn.Module, clips: Sequence[Clip]) -> Float32:
    """Logits, float32[n, 7]; clips run one by one and whole, as in the live engine."""
    model.eval()
    rows = [model(torch.from_numpy(log_mel(clip.pcm)).unsqueeze(0)) for clip in clips]
    logits: Float32 = torch.cat(rows).numpy()
    return logits


def _labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips])


def _augmented(clips: Sequence[Clip], config: SpeechAugmentation, rng: np.random.Generator) -> Tensor:
    """(B, T, bands): one random length per batch, a multiple of 0.1 s, for which the Fourier transform is fast."""
    length = round(10 * rng.uniform(*config.crop_s)) * SAMPLE_RATE // 10
    frames = [torch.from_numpy(log_mel(augment_speech(clip.pcm, length, config, rng))) for clip in clips]
    return mask_frames(torch.stack(frames), config, rng)

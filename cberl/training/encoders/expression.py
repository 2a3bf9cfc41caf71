"""Trains the facial expression network on FER2013.

    cberl train-encoder expression --data FER2013.npz --out runs/expression

Keeps the epoch with the best accuracy on a held-out part of Training; PublicTest is scored once, at the end. Resumes
from `last.pt`. `cberl.training.encoders.export` exports the result for `cberl.encoders.expression`.
"""

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from cberl.data.fer2013 import PUBLIC_TEST, TRAINING, Faces, read_fer2013, split_faces
from cberl.labels import MELD
from cberl.metrics import score
from cberl.nn.expression import ExpressionNet
from cberl.training.encoders.schedules import moving_average, resume, warm_cosine
from cberl.types import Float32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpressionTraining:
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.1  # peak, of SGD with Nesterov momentum
    weight_decay: float = 5e-4
    warmup: float = 0.03  # share of all steps
    label_smoothing: float = 0.1
    dropout: float = 0.2
    ema_decay: float = 0.998  # per step
    crop_px: int = 44  # side of the training crops, of 48: faster, and adds shifts
    rotate_deg: float = 15.0
    zoom: float = 0.15
    shift_px: float = 3.0
    erase: float = 0.4  # share of faces with random erasing
    dev_share: float = 0.1
    seed: int = 0


def train_expression(
    data: Path, out: Path, config: ExpressionTraining, begin_with: Path | None = None
) -> dict[str, Any]:
    """Writes `last.pt` after each epoch, and `best.pt` if dev improved. Returns the scores on dev and PublicTest.

    begin_with: `best.pt` of another run to start from, with the learning rate schedule from its beginning.
    """
    torch.manual_seed(config.seed)
    train, dev = split_faces(read_fer2013(data, TRAINING), config.dev_share, seed=0)  # the same dev for all seeds
    model = ExpressionNet(config.dropout)
    if begin_with is not None:
        model.load_state_dict(load_expression(begin_with).state_dict())
    average = moving_average(model, config.ema_decay)
    optimizer = torch.optim.SGD(model.parameters(), config.learning_rate, momentum=0.9, nesterov=True)
    for group in optimizer.param_groups:
        group["weight_decay"] = config.weight_decay
    steps = config.epochs * math.ceil(len(train) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, steps, config.warmup))
    parts: dict[str, Any] = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    out.mkdir(parents=True, exist_ok=True)
    first, best = resume(out / "last.pt", parts)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=steps, completed=schedule.last_epoch)
        for epoch in range(first, config.epochs):
            chance = torch.Generator().manual_seed(1000 * config.seed + epoch)
            torch.manual_seed(1000 * config.seed + epoch)  # of dropout, so that a resumed run gives the same result
            model.train()
            for rows in torch.randperm(len(train), generator=chance).split(config.batch_size):
                faces = augment(torch.from_numpy(train.pixels[rows.numpy()]), config, chance)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = model(faces)
                labels = torch.from_numpy(train.labels[rows.numpy()])
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                average.update_parameters(model)
                progress.advance(task)
            scores = score(dev.labels, predict(cast(ExpressionNet, average.module), dev).argmax(1), MELD)
            log.info("epoch %d: loss %.3f, dev accuracy %.2f %%", epoch, loss.item(), scores.accuracy)
            if scores.accuracy > best:
                best = scores.accuracy
                torch.save(
                    {"model": average.module.state_dict(), "config": asdict(config), "epoch": epoch}, out / "best.pt"
                )
            torch.save(
                {name: part.state_dict() for name, part in parts.items()} | {"epoch": epoch, "best": best},
                out / "last.pt",
            )
    return evaluate(data, out)


def evaluate(data: Path, out: Path) -> dict[str, Any]:
    """Scores of `best.pt` on the dev part and on PublicTest."""
    model = load_expression(out / "best.pt")
    _, dev = split_faces(read_fer2013(data, TRAINING), ExpressionTraining().dev_share, seed=0)
    parts = {"dev": dev, "public_test": read_fer2013(data, PUBLIC_TEST)}
    return {name: score(faces.labels, predict(model, faces).argmax(1), MELD).as_dict() for name, faces in parts.items()}


def load_expression(best: Path) -> ExpressionNet:
    """The network of `best.pt`, in evaluation mode."""
    model = ExpressionNet()
    model.load_state_dict(torch.load(best, weights_only=True)["model"])
    return model.eval()


@torch.inference_mode()
def predict(model: ExpressionNet, faces: Faces, batch_size: int = 256) -> Float32:
    """Probabilities, float32[n, 7]."""
    model.eval()
    pixels = torch.from_numpy(faces.pixels).float().unsqueeze(1)  # (n, 48, 48) -> (n, 1, 48, 48)
    rows = [model.describe(part)[1] for part in pixels.split(batch_size)]
    probabilities: Float32 = torch.cat(rows).numpy()
    return probabilities


def augment(pixels: Tensor, config: ExpressionTraining, chance: torch.Generator) -> Tensor:
    """uint8 (B, H, W) -> float32 (B, 1, crop, crop): random mirroring, rotation, zoom, shift, crop and erasing."""

    def spread(reach: float) -> Tensor:
        return (2 * torch.rand(count, generator=chance) - 1) * reach

    count, height = pixels.shape[:2]
    angle = spread(math.radians(config.rotate_deg))
    scale = (1 + spread(config.zoom)) * config.crop_px / height
    mirror = torch.where(torch.rand(count, generator=chance) < 0.5, -1.0, 1.0)
    shift_x, shift_y = spread(2 * config.shift_px / height), spread(2 * config.shift_px / height)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    across = torch.stack([mirror * cos, -sin, shift_x], dim=1)
    down = torch.stack([mirror * sin, cos, shift_y], dim=1)
    theta = torch.stack([across, down], dim=1)  # (B, 2, 3)
    grid = F.affine_grid(theta, [count, 1, config.crop_px, config.crop_px], align_corners=False)
    faces = F.grid_sample(pixels.float().unsqueeze(1), grid, padding_mode="reflection", align_corners=False)
    return _erased(faces, config.erase, chance).contiguous(memory_format=torch.channels_last)


def _erased(faces: Tensor, share: float, chance: torch.Generator) -> Tensor:
    """Replaces a random rectangle, in a share of the faces, by the face's mean (Zhong et al. 2017)."""
    count, _, height, width = faces.shape

    def inside(length: int) -> Tensor:
        extent = (0.15 + 0.3 * torch.rand(count, 1, generator=chance)) * length
        start = torch.rand(count, 1, generator=chance) * (length - extent)
        at = torch.arange(length)
        return (at >= start) & (at < start + extent)  # (B, length)

    patch = inside(height).unsqueeze(2) & inside(width).unsqueeze(1)  # (B, H, W)
    chosen = torch.rand(count, 1, 1, generator=chance) < share
    return torch.where((patch & chosen).unsqueeze(1), faces.mean(dim=(2, 3), keepdim=True), faces)

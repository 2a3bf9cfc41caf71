"""A fine-tuned text encoder on disk: `epoch-N.pt`, with its training configuration."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cberl.encoders.text import TextPrompt
from cberl.errors import TrainingError
from cberl.metrics import Scores
from cberl.storage import replacing
from cberl.training.text.classifier import MINILM, TextClassifier, load_base


@dataclass(frozen=True, slots=True)
class TextTraining:
    base: str = MINILM  # the pretrained encoder, as `load_base` takes it
    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    head_dropout: float = 0.2
    label_smoothing: float = 0.05
    class_weight_power: float = 0.4  # class weights are frequency^-power
    class_cap: int = 0  # examples of a class per epoch and corpus, at most; 0 = all
    votes_share: float = 0.5  # of annotators' votes in the target of a line that has a label, too
    strip_punctuation: float = 0.25  # share of training inputs without case and punctuation, like an ASR transcript
    whisper_style: float = 0.0  # share of training inputs as Whisper would write them, see `AsrNoise.whisper`
    word_noise: float = 0.0  # highest word error rate of the former, drawn for each input; of the latter half of it
    teacher_share: float = 0.5  # of the loss of a labelled utterance, if there are teachers
    max_tokens: int = 96
    past_turns: int = 3
    seed: int = 0


def load_config(path: Path) -> tuple[TextTraining, int]:
    """How the encoder of a `text.json` was trained, and the epoch. Settings that no longer exist are ignored."""
    config = json.loads(path.read_text())
    known = {field.name for field in fields(TextTraining)}
    return TextTraining(**{name: value for name, value in config["training"].items() if name in known}), config["epoch"]


def prompt_of(config: TextTraining, folder: Path) -> TextPrompt:
    """Builds the encoder's input, with the tokenizer in `folder`."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return TextPrompt(tokenizer, max_tokens=config.max_tokens, past_turns=config.past_turns)


def save(
    path: Path, model: TextClassifier, classes: dict[str, int], config: TextTraining, epoch: int, scores: Scores
) -> None:
    """Writes the file that `load` and `cberl.training.text.export` read."""
    dev = {"weighted_f1": scores.weighted_f1, "macro_f1": scores.macro_f1}
    state = {"model": model.state_dict(), "classes": classes, "config": asdict(config), "epoch": epoch, "dev": dev}
    with replacing(path) as unfinished:
        torch.save(state, unfinished)


def load(path: Path) -> tuple[TextClassifier, dict[str, Any], Path]:
    """The network in an `epoch-N.pt`, the rest of the file, and the folder of its tokenizer."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    encoder, folder = load_base(TextTraining(**state["config"]).base)
    model = TextClassifier(encoder, state["classes"])
    model.load_state_dict(state.pop("model"))
    return model, state, folder


def weights_to_start_from(path: Path, base: str, classes: dict[str, int]) -> dict[str, Tensor]:
    """The weights in an `epoch-N.pt`: of the encoder, and the heads of the same corpora.

    Raises `TrainingError` if its base is another one.
    """
    state = torch.load(path, weights_only=True, map_location="cpu")
    theirs = TextTraining(**state["config"]).base
    if theirs != base:
        raise TrainingError(f"{path} was trained from {theirs}, not from {base}: give --base {theirs}")
    heads = tuple(f"heads.{corpus}." for corpus, count in classes.items() if state["classes"].get(corpus) == count)
    return {name: value for name, value in state["model"].items() if name.startswith(("encoder.", *heads))}

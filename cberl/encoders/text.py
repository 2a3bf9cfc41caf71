"""The text encoder: a BERT-like network with the past turns in its input, run by onnxruntime and tokenizers.

Input of one utterance: `[CLS] same : turn [SEP] other : turn [SEP] ... current [SEP]`, where `same` marks a past turn
of the current speaker and `other` one of anybody else. Later turns never enter. The vector is the mean over the tokens
of the current turn (token type 1); the ONNX graph does the pooling.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from cberl.errors import EncoderError
from cberl.onnx import open_session
from cberl.types import Float32


@dataclass(frozen=True, slots=True)
class TextInput:
    """Token ids of one utterance with its past; `type_ids` is 1 for tokens of the current turn, else 0."""

    ids: list[int]
    type_ids: list[int]


class TextPrompt:
    """Builds the encoder's input. Pure."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = 96, past_turns: int = 3) -> None:
        """Raises `EncoderError` for a tokenizer unlike BERT's or RoBERTa's."""
        tokenizer.no_truncation()  # `build` truncates, and keeps the current turn
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.past_turns = past_turns
        self._cls = _special(tokenizer, "[CLS]", "<s>")
        self._sep = _special(tokenizer, "[SEP]", "</s>")

    def build(self, past: Sequence[tuple[str, str]], speaker: str, text: str) -> TextInput:
        """`past` holds (speaker, text) pairs, oldest first. Whole past turns are left out until the rest fits."""
        current = [*self._words(text)[: self.max_tokens - 2], self._sep]
        context: list[int] = []
        room = self.max_tokens - 1 - len(current)
        for who, said in reversed(past[-self.past_turns :] if self.past_turns else ()):
            mark = "same : " if who == speaker else "other : "
            turn = [*self._words(mark + said), self._sep]
            if len(context) + len(turn) > room:
                break
            context = turn + context
        ids = [self._cls, *context, *current]
        return TextInput(ids, [0] * (len(ids) - len(current)) + [1] * len(current))

    def _words(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def _special(tokenizer: Tokenizer, *names: str) -> int:
    """The id of a special token, which BERT and RoBERTa name differently."""
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return found
    raise EncoderError(f"the tokenizer has no {' or '.join(names)}: one like BERT's or RoBERTa's is needed")


class TextHistory:
    """The last turns of one conversation, for `TextPrompt`."""

    def __init__(self, prompt: TextPrompt) -> None:
        self._prompt = prompt
        self._past: deque[tuple[str, str]] = deque(maxlen=max(prompt.past_turns, 1))

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """(speaker, text) of the turns that are remembered, oldest first."""
        return tuple(self._past)

    def restore(self, turns: Sequence[tuple[str, str]]) -> None:
        """Remember these turns instead."""
        self._past.clear()
        self._past.extend(turns)

    def copy(self) -> "TextHistory":
        """An independent history with the same past."""
        other = TextHistory(self._prompt)
        other._past.extend(self._past)
        return other

    def peek(self, speaker: str, text: str) -> TextInput:
        """What `push` would return, without adding to the past."""
        return self._prompt.build(tuple(self._past), speaker, text)

    def push(self, speaker: str, text: str) -> TextInput:
        """The input for the current turn, which is then added to the past."""
        prepared = self.peek(speaker, text)
        self._past.append((speaker, text))
        return prepared


def encoder_files(folder: Path) -> tuple[Path, ...]:
    """All files of a text encoder, in the order in which a checkpoint's sha256 covers them. Raises `EncoderError`."""
    files = tuple(folder / name for name in ("text.onnx", "tokenizer.json", "text.json"))
    for file in files:
        if not file.is_file():
            raise EncoderError(
                f"{file} is missing: a text encoder is a folder that `cberl finetune-text` wrote, and the bundled one "
                "comes with cberl-engine"
            )
    return files


class TextEncoder:
    """`TextInput` -> float32[dim]. Stateless and thread-safe.

    Inputs run one by one: on a CPU padding costs more than a batch saves, and no result depends on the batch.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """`folder` holds what `encoder_files` lists. Raises `EncoderError`."""
        network, *_ = encoder_files(folder)
        config = json.loads((folder / "text.json").read_text())
        self.dim = int(config["dim"])
        self.prompt = TextPrompt(
            Tokenizer.from_file(str(folder / "tokenizer.json")),
            max_tokens=config["max_tokens"],
            past_turns=config["past_turns"],
        )
        self._session = open_session(network, threads=threads)

    def encode(self, inputs: Sequence[TextInput]) -> list[Float32]:
        """float32[dim] per input, in order."""
        return [self._encode_one(one) for one in inputs]

    def _encode_one(self, one: TextInput) -> Float32:
        feed = {
            "input_ids": np.array([one.ids], dtype=np.int64),
            "attention_mask": np.ones((1, len(one.ids)), dtype=np.int64),
            "token_type_ids": np.array([one.type_ids], dtype=np.int64),
        }
        (vectors,) = self._session.run(["vector"], feed)  # (1, dim)
        vector: Float32 = vectors[0]
        return vector

"""A corpus as the network reads it: one array per modality over all utterances, dialogue after dialogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor

from cberl.data.dialogue import Dialogue
from cberl.encoders.audio import AudioEncoder
from cberl.encoders.conversation import ConversationHistory
from cberl.encoders.log_ratio import SCORES_DIM
from cberl.encoders.text import TextEncoder
from cberl.model import Batch
from cberl.storage import replacing
from cberl.types import Float32


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSet:
    """N utterances of B dialogues.

    x: float32[N, dim] per modality, rows where it is absent are 0; present: bool[N] per modality; speaker: int[N],
    equal within a dialogue = same person; label: int[N], negative = none; lengths: int[B], utterances per dialogue.
    """

    x: dict[str, Tensor]
    present: dict[str, Tensor]
    speaker: Tensor
    label: Tensor
    lengths: Tensor

    def batch(self, dialogues: Tensor) -> tuple[Batch, Tensor]:
        """The chosen dialogues, int[b], as one batch, and their labels."""
        starts = self.lengths.cumsum(0) - self.lengths
        lengths = self.lengths[dialogues]
        first = torch.repeat_interleave(starts[dialogues] - (lengths.cumsum(0) - lengths), lengths)
        rows = first + torch.arange(int(lengths.sum()))
        x = {name: values[rows] for name, values in self.x.items()}
        present = {name: has[rows] for name, has in self.present.items()}
        return Batch(x, present, self.speaker[rows], lengths), self.label[rows]

    def whole(self) -> tuple[Batch, Tensor]:
        """All dialogues as one batch."""
        return self.batch(torch.arange(len(self.lengths)))


def extract(
    dialogues: Sequence[Dialogue],
    text_encoder: TextEncoder,
    audio: AudioEncoder,
    advance: Callable[[], None] = lambda: None,
    *,
    visual: bool = False,
) -> FeatureSet:
    """Encodes dialogues utterance by utterance, with the history that the live engine uses as well.

    A modality is absent where there is no text, no usable audio, or no face. Without `visual` there is no visual
    modality. `advance` is called after each utterance.
    """
    texts: list[Float32 | None] = []
    audios: list[Float32 | None] = []
    faces = [line.face for dialogue in dialogues for line in dialogue.lines]
    for dialogue in dialogues:
        history = ConversationHistory(text_encoder.prompt, audio.history())
        for line in dialogue.lines:
            prompt, normalised = history.push(line.speaker, line.text, line.prosody)
            texts.extend([None] if prompt is None else text_encoder.encode([prompt]))
            audios.append(normalised)
            advance()
    rows = {"text": (texts, text_encoder.dim), "audio": (audios, audio.dim)}
    if visual:
        rows["visual"] = (faces, SCORES_DIM)
    return FeatureSet(
        x={name: _stacked(vectors, dim) for name, (vectors, dim) in rows.items()},
        present={name: torch.tensor([one is not None for one in vectors]) for name, (vectors, _) in rows.items()},
        speaker=torch.tensor([i for dialogue in dialogues for i in _speaker_ids(dialogue)]),
        label=torch.tensor([line.label for dialogue in dialogues for line in dialogue.lines]),
        lengths=torch.tensor([len(dialogue.lines) for dialogue in dialogues]),
    )


def _stacked(rows: Sequence[Float32 | None], dim: int) -> Tensor:
    """float32[N, dim], zeros for None."""
    absent = np.zeros(dim, dtype=np.float32)
    return torch.from_numpy(np.stack([absent if row is None else row for row in rows]))


def _speaker_ids(dialogue: Dialogue) -> list[int]:
    ids: dict[str, int] = {}
    return [ids.setdefault(line.speaker, len(ids)) for line in dialogue.lines]


def widened(features: FeatureSet, dims: dict[str, int]) -> FeatureSet:
    """The features padded to the sizes that a network reads: dimensions that a modality lacks at its end are 0, which
    is what a feature that could not be measured is; a modality that is missing is absent.
    """
    count = len(features.label)
    x, present = dict(features.x), dict(features.present)
    for name, dim in dims.items():
        known = x.get(name, torch.zeros(count, 0))
        x[name] = torch.cat([known, known.new_zeros(count, dim - known.shape[1])], dim=1)
        present.setdefault(name, torch.zeros(count, dtype=torch.bool))
    return replace(features, x=x, present=present)


def save_features(features: FeatureSet, path: Path, about: dict[str, str] | None = None) -> None:
    """Writes one safetensors file, with `about` in its header."""
    arrays = {f"x.{name}": values.numpy() for name, values in features.x.items()}
    arrays |= {f"present.{name}": has.numpy() for name, has in features.present.items()}
    rest = {"speaker": features.speaker, "label": features.label, "lengths": features.lengths}
    with replacing(path) as unfinished:
        save_file(arrays | {name: values.numpy() for name, values in rest.items()}, unfinished, about)


def load_features(path: Path) -> FeatureSet:
    """What `save_features` wrote."""
    tensors = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
    return FeatureSet(
        x={name[2:]: values for name, values in tensors.items() if name.startswith("x.")},
        present={name[8:]: has for name, has in tensors.items() if name.startswith("present.")},
        speaker=tensors["speaker"],
        label=tensors["label"],
        lengths=tensors["lengths"],
    )


def features_about(path: Path) -> dict[str, str]:
    """The `about` of `save_features`."""
    with safe_open(path, "numpy") as file:
        about: dict[str, str] | None = file.metadata()
    return about or {}

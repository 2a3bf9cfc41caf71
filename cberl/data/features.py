"""A corpus as the network reads it: one array a modality over all utterances, dialogues one after the other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor

from cberl.data.dialogue import Dialogue
from cberl.encoders.audio import AudioEncoderConfig, AudioHistory
from cberl.encoders.log_ratio import EVIDENCE_DIM
from cberl.encoders.text import TextEncoder, TextHistory
from cberl.model import Batch

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSet:
    """N utterances of B dialogues.

    x: float32[N, dim] a modality, rows of an absent one are 0; present: bool[N] a modality; speaker: int[N], equal
    within a dialogue = same person; label: int[N], negative = none; lengths: int[B].
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
    audio: AudioEncoderConfig,
    advance: Callable[[], None] = lambda: None,
    *,
    visual: bool = False,
) -> FeatureSet:
    """Encodes dialogues exactly as the live pipeline does, turn after turn. `advance` is called once an utterance.

    No words, no text vector; no usable sound, no audio vector; no face, no visual vector. Without `visual` there is no
    visual modality at all.
    """
    texts: list[Float32 | None] = []
    sounds: list[Float32 | None] = []
    faces = [line.face for dialogue in dialogues for line in dialogue.lines]
    for dialogue in dialogues:
        said, heard = TextHistory(text_encoder.prompt), AudioHistory(audio)
        for line in dialogue.lines:
            texts.extend(text_encoder.encode([said.push(line.speaker, line.text)]) if line.text else [None])
            sounds.append(None if line.prosody is None else heard.push(line.speaker, line.prosody))
            advance()
    rows = {"text": (texts, text_encoder.dim), "audio": (sounds, audio.dim)}
    if visual:
        rows["visual"] = (faces, EVIDENCE_DIM)
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
    """As a network of these sizes reads them: numbers that a modality lacks at its end are 0, as if they could not be
    measured; a modality that is not there at all is absent.
    """
    count = len(features.label)
    x, present = dict(features.x), dict(features.present)
    for name, dim in dims.items():
        known = x.get(name, torch.zeros(count, 0))
        x[name] = torch.cat([known, known.new_zeros(count, dim - known.shape[1])], dim=1)
        present.setdefault(name, torch.zeros(count, dtype=torch.bool))
    return replace(features, x=x, present=present)


def save_features(features: FeatureSet, path: Path, about: dict[str, str] | None = None) -> None:
    """One safetensors file; `about` is kept in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"x.{name}": values.numpy() for name, values in features.x.items()}
    arrays |= {f"present.{name}": has.numpy() for name, has in features.present.items()}
    rest = {"speaker": features.speaker, "label": features.label, "lengths": features.lengths}
    unfinished = path.with_suffix(".part")
    save_file(arrays | {name: values.numpy() for name, values in rest.items()}, unfinished, about)
    unfinished.replace(path)


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
    """What `save_features` kept in the header."""
    with safe_open(path, "numpy") as file:
        about: dict[str, str] | None = file.metadata()
    return about or {}


def fingerprint(*files: Path) -> str:
    """SHA-256 over the files' bytes, in order; files that are not there are left out."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()

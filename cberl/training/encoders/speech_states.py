"""Pooled states of recordings for the training of the speech emotion head, each clip clean and in augmented copies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cberl.encoders.speech_emotion import SpeechStates
from cberl.progress import progress
from cberl.storage import cache_file, replacing
from cberl.training.encoders.speech_augment import SpeechAugmentation, augment_speech
from cberl.types import Float32

_MADE_BY = "speech-states-1"  # changes when states must be made again


@dataclass(frozen=True, slots=True, eq=False)
class PooledStates:
    """`turns` float32[clips, copies, 768]: the mean over each clip's voiced frames; NaN where there is none.

    `windows` float32[rows, 768] and `clip` int[rows], the clip's index: the same by window, of all copies.
    """

    turns: Float32
    windows: Float32
    clip: NDArray[np.int64]


def pooled_states(
    clips: Sequence[Float32],
    states: SpeechStates,
    copies: int,
    augmentation: SpeechAugmentation,
    noises: Sequence[Float32],
    cache: Path,
    made_from: str,
    name: str,
) -> PooledStates:
    """Of clips, float32[n] at 16 kHz; copy 0 is the clip itself. `made_from`: a digest of the files behind all this."""
    path = cache_file(cache, f"states-{name}", [made_from, copies, repr(augmentation), _MADE_BY])
    if not path.is_file():
        with progress() as bar:
            task = bar.add_task(f"states of {name}", total=len(clips))
            made = _encode(clips, states, copies, augmentation, noises, lambda: bar.advance(task))
        with replacing(path) as unfinished:
            save_file({"turns": made.turns, "windows": made.windows, "clip": made.clip}, unfinished)
    return PooledStates(**load_file(path))


def _encode(
    clips: Sequence[Float32],
    states: SpeechStates,
    copies: int,
    augmentation: SpeechAugmentation,
    noises: Sequence[Float32],
    advance: Callable[[], None],
) -> PooledStates:
    turns, windows, index = [], [], []
    for n, pcm in enumerate(clips):
        rng = np.random.default_rng(n)
        for copy in range(copies):
            found = states(augment_speech(pcm, augmentation, rng, noises) if copy else pcm)
            if found is None:
                turns.append(np.full(768, np.nan, np.float32))
                continue
            turns.append(found.pooled())
            windows.append(found.states)
            index.append(np.full(len(found.states), n))
        advance()
    stacked = np.stack(turns).reshape(len(clips), copies, -1)  # (clips * copies, 768) -> (clips, copies, 768)
    return PooledStates(stacked, np.concatenate(windows), np.concatenate(index))

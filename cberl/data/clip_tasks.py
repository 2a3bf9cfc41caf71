"""Clips whose features are computed: which belong together, and one task of them. Pure, but for reading the file."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cberl.data.dialogue import Clip, DataError
from cberl.data.sound import Span
from cberl.types import Float32

Read = Callable[[Path, Sequence[Span], int | None], Iterator[tuple[int, Any]]]
Encode = Callable[[Any], Float32]

SPANS_PER_TASK = 100  # of one long file, which each task decodes from its start


@dataclass(frozen=True, slots=True)
class ClipEncoder:
    """One way to compute features of a clip. Picklable.

    field: of `Line`, for the features. made_by: a name that changes whenever results would. medium: what a clip must
    have, for messages. read: file, spans and channel -> (index of the span, audio or pictures), as
    `cberl.data.sound.read_spans`. open: called once in each process, to load networks; returns the function from audio
    or pictures to float32[d], or to float32[0] where there is nothing to encode.
    """

    field: Literal["prosody", "face"]
    made_by: str
    medium: Literal["audio", "video"]
    read: Read
    open: Callable[[], Encode]


@dataclass(frozen=True, slots=True)
class Task:
    """Clips of one file and channel. `keys` are theirs in the journal."""

    path: Path
    channel: int | None
    spans: tuple[Span, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Of one clip; a sentence where there are no features."""

    key: str
    features: list[float] | None
    problem: str


def clip_tasks(clips: dict[Clip, str]) -> Iterator[Task]:
    """The clips of one file and channel together, so that a long recording is not decoded once per utterance."""
    files: dict[tuple[Path, int | None], list[Clip]] = defaultdict(list)
    for clip in clips:
        files[clip.path, clip.channel].append(clip)
    for (path, channel), wanted in files.items():
        wanted.sort(key=lambda clip: clip.start_s)
        for first in range(0, len(wanted), SPANS_PER_TASK):
            some = wanted[first : first + SPANS_PER_TASK]
            spans = tuple((clip.start_s, clip.end_s) for clip in some)
            yield Task(path, channel, spans, tuple(clips[clip] for clip in some))


def run_task(task: Task, encoder: ClipEncoder, encode: Encode) -> list[Result]:
    results: dict[str, Result] = {}
    problem = f"{task.path} has no {encoder.medium}"
    try:
        for i, media in _media(task, encoder):
            start_s, end_s = task.spans[i]
            features = encode(media).tolist() if len(media) else None
            between = f" between {start_s:g} s and {end_s:g} s" if end_s is not None else ""
            results[task.keys[i]] = Result(task.keys[i], features, f"{task.path} has no {encoder.medium}{between}")
    except DataError as error:
        problem = str(error)
    return [results.get(key, Result(key, None, problem)) for key in task.keys]


def _media(task: Task, encoder: ClipEncoder) -> Iterator[tuple[int, Any]]:
    """As `ClipEncoder.read`. Raises DataError, whatever a decoder raises: one file must not end a run of hours."""
    try:
        yield from encoder.read(task.path, task.spans, task.channel)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{task.path} cannot be read: {type(error).__name__}: {error}") from error

"""Raw features of a corpus's clips, computed in parallel processes and kept in a journal.

The journal has one JSON object per line, written as results arrive. A run that was killed loses only the clips that it
was working on; a line that was cut short is ignored. A file that has changed is encoded again.
"""

import json
import logging
import math
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cberl.data.dialogue import Clip, DataError, Dialogue, Line
from cberl.data.sound import Span
from cberl.processes import SPAWN, exit_with_parent, one_thread_each
from cberl.storage import cache_file
from cberl.types import Float32

log = logging.getLogger(__name__)

Read = Callable[[Path, Sequence[Span], int | None], Iterator[tuple[int, Any]]]
Encode = Callable[[Any], Float32]

MAX_DEATHS = 3  # of processes that read one file each, before it is not the files
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
class _Task:
    path: Path
    channel: int | None
    spans: tuple[Span, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Result:
    key: str
    features: list[float] | None
    problem: str


def encode_clips(
    dialogues: Sequence[Dialogue],
    encoder: ClipEncoder,
    cache: Path,
    *,
    processes: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[list[Dialogue], list[str]]:
    """The dialogues with one field of each line computed from its clip, and a sentence for each clip that failed.

    Lines without a clip stay as they are; a clip that is missing, unreadable or empty leaves the field empty. Results
    are kept in the folder `cache`. With one process, the work is done in the calling one. `advance` is called with the
    number of clips that are done. Raises `DataError` if worker processes die whatever they read.
    """
    journal = FeatureJournal(cache_file(cache, "clips", encoder.made_by, ".jsonl"))
    keys, problems = _keys(line.clip for dialogue in dialogues for line in dialogue.lines if line.clip)
    missing = {clip: key for clip, key in keys.items() if key not in journal.known}
    advance(len(problems) + len(keys) - len(missing))
    with journal:
        for results in _run_all(_tasks(missing), encoder, processes):
            for result in results:
                if result.features is None:
                    problems.append(result.problem)
                else:
                    journal.add(result.key, result.features)
            advance(len(results))
    return [_filled(dialogue, encoder.field, keys, journal.known) for dialogue in dialogues], problems


class FeatureJournal:
    """Features by key, written to disk as they are computed. A context manager: open while results are added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Float32] = {}
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                self.known = dict(filter(None, map(_entry, file)))

    def __enter__(self) -> "FeatureJournal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        if self._file.tell():
            self._file.write("\n")  # ends a line that a killed run may have cut short
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, features: list[float]) -> None:
        plain = [None if math.isnan(number) else number for number in features]
        self._file.write(json.dumps({"clip": key, "audio": plain}) + "\n")
        self._file.flush()
        self.known[key] = np.array(features, dtype=np.float32)


def _entry(text: str) -> tuple[str, Float32] | None:
    """None for a line that was cut short."""
    try:
        row = json.loads(text)
        features = [math.nan if number is None else number for number in row["audio"]]
        return row["clip"], np.array(features, dtype=np.float32)
    except (KeyError, TypeError, ValueError):
        return None


def _keys(clips: Iterable[Clip]) -> tuple[dict[Clip, str], list[str]]:
    """A key for each clip, which changes with its file; a sentence for each clip whose file is missing."""
    keys: dict[Clip, str] = {}
    stamps: dict[Path, str] = {}
    problems: list[str] = []
    for clip in dict.fromkeys(clips):
        if clip.path not in stamps:
            try:
                stat = clip.path.stat()
                stamps[clip.path] = f"{stat.st_size}|{stat.st_mtime_ns}"
            except OSError:
                stamps[clip.path] = ""
        if stamps[clip.path]:
            where = f"{clip.path.resolve()}|{clip.channel}|{clip.start_s}|{clip.end_s}"
            keys[clip] = f"{where}|{stamps[clip.path]}"
        else:
            problems.append(f"{clip.path} is missing")
    return keys, problems


def _tasks(clips: dict[Clip, str]) -> Iterator[_Task]:
    """The clips of one file and channel together, so that a long recording is not decoded once per utterance."""
    files: dict[tuple[Path, int | None], list[Clip]] = defaultdict(list)
    for clip in clips:
        files[clip.path, clip.channel].append(clip)
    for (path, channel), wanted in files.items():
        wanted.sort(key=lambda clip: clip.start_s)
        for first in range(0, len(wanted), SPANS_PER_TASK):
            some = wanted[first : first + SPANS_PER_TASK]
            spans = tuple((clip.start_s, clip.end_s) for clip in some)
            yield _Task(path, channel, spans, tuple(clips[clip] for clip in some))


def _run_all(tasks: Iterable[_Task], encoder: ClipEncoder, processes: int) -> Iterator[list[_Result]]:
    tasks = iter(tasks)
    if processes <= 1:
        encode: Encode | None = None
        for task in tasks:
            encode = encode or encoder.open()
            yield _run(task, encoder, encode)
        return
    in_progress: list[_Task] = []
    with one_thread_each():
        yield from _run_in_pool(tasks, encoder, processes, in_progress)
        while in_progress:  # a process has died
            yield from _run_alone(in_progress, encoder)
            in_progress.clear()
            yield from _run_in_pool(tasks, encoder, processes, in_progress)


def _run_in_pool(
    tasks: Iterator[_Task], encoder: ClipEncoder, processes: int, in_progress: list[_Task]
) -> Iterator[list[_Result]]:
    """Until no tasks are left or a process dies. `in_progress` then has the tasks without results."""
    running: dict[Future[list[_Result]], _Task] = {}

    def finished() -> Iterator[list[_Result]]:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            results = future.result()
            in_progress.remove(running.pop(future))
            yield results

    pool = _pool(encoder, processes)
    try:
        for task in tasks:
            in_progress.append(task)
            running[pool.submit(_run_in_worker, task)] = task
            while len(running) >= 4 * processes:
                yield from finished()
        while running:
            yield from finished()
    except BrokenProcessPool:
        log.warning("a process that encodes clips has died: %d files are read again, one by one", len(in_progress))
    finally:
        pool.shutdown(cancel_futures=True)


def _run_alone(tasks: Iterable[_Task], encoder: ClipEncoder) -> Iterator[list[_Result]]:
    """One task at a time. The clips of a task that ends its process have a problem."""
    died, survived = 0, False
    for task in tasks:
        pool = _pool(encoder, 1)
        try:
            yield pool.submit(_run_in_worker, task).result()
            survived = True
        except BrokenProcessPool as error:
            died += 1
            if died == MAX_DEATHS and not survived:  # so it is not the files
                raise DataError(
                    "the processes that encode clips die, perhaps for lack of memory: run the same command to continue"
                ) from error
            problem = f"{task.path} cannot be read: it ends the process that reads it"
            yield [_Result(key, None, problem) for key in task.keys]
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(encoder: ClipEncoder, processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, SPAWN, initializer=_begin, initargs=(encoder,))


def _run(task: _Task, encoder: ClipEncoder, encode: Encode) -> list[_Result]:
    results: dict[str, _Result] = {}
    problem = f"{task.path} has no {encoder.medium}"
    try:
        for i, media in _media(task, encoder):
            start_s, end_s = task.spans[i]
            features = encode(media).tolist() if len(media) else None
            between = f" between {start_s:g} s and {end_s:g} s" if end_s is not None else ""
            results[task.keys[i]] = _Result(task.keys[i], features, f"{task.path} has no {encoder.medium}{between}")
    except DataError as error:
        problem = str(error)
    return [results.get(key, _Result(key, None, problem)) for key in task.keys]


def _media(task: _Task, encoder: ClipEncoder) -> Iterator[tuple[int, Any]]:
    """As `ClipEncoder.read`. Raises DataError, whatever a decoder raises: one file must not end a run of hours."""
    try:
        yield from encoder.read(task.path, task.spans, task.channel)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{task.path} cannot be read: {type(error).__name__}: {error}") from error


_encoder: ClipEncoder  # in worker processes only
_encode: Encode


def _begin(encoder: ClipEncoder) -> None:
    """Prepares a worker process: loads its encoder, and ignores Ctrl-C, upon which the parent ends its workers."""
    global _encoder, _encode
    _encoder, _encode = encoder, encoder.open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _run_in_worker(task: _Task) -> list[_Result]:
    return _run(task, _encoder, _encode)


def _filled(dialogue: Dialogue, field: str, keys: dict[Clip, str], known: dict[str, Float32]) -> Dialogue:
    def filled(line: Line) -> Line:
        features = known.get(keys.get(line.clip, "")) if line.clip else None
        given: dict[str, Any] = {field: None if features is None or not len(features) else features}
        return replace(line, **given) if line.clip else line

    return Dialogue(dialogue.id, tuple(map(filled, dialogue.lines)))

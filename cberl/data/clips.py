"""From the clips of a corpus to raw numbers of what is heard or seen: in parallel processes, and never twice.

What has been described is kept in a journal, one JSON object a line, written as results arrive. A run that was killed
loses only what was under way; a line that was cut short is passed over. A file that has changed is described again.
"""

import json
import math
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import Clip, DataError, Dialogue, Line
from cberl.data.sound import Span

Float32 = NDArray[np.float32]
Read = Callable[[Path, Sequence[Span], int | None], Iterator[tuple[int, Any]]]
Describe = Callable[[Any], Float32]

SPANS_A_TASK = 100  # of one long file, which each task decodes from its start


@dataclass(frozen=True, slots=True)
class Sense:
    """One way to perceive a clip. Picklable.

    fills: the field of `Line`. made_by: its name; another name, other results. lacks: what a clip is without that it
    cannot perceive, "sound" or "picture". read: file, spans and channel -> (index of the span, what is there), as
    `cberl.data.sound.read_spans`. open: loads what is heavy, once in each process, and gives the function from that to
    float32[d], or to float32[0] where there is nothing to tell.
    """

    fills: Literal["prosody", "face"]
    made_by: str
    lacks: str
    read: Read
    open: Callable[[], Describe]


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    channel: int | None
    spans: tuple[Span, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Result:
    key: str
    numbers: list[float] | None
    problem: str


def describe_clips(
    dialogues: Sequence[Dialogue],
    sense: Sense,
    cache: Path,
    *,
    processes: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[list[Dialogue], list[str]]:
    """The dialogues with one field of each line filled from its clip, and a sentence for each clip that gave nothing.

    Lines without a clip stay as they are; those whose clip is missing, unreadable or empty are left without. Results
    are kept in `cache`. With one process the work is done in this one. `advance` is told how many clips are done.
    Raises `DataError` if a worker dies.
    """
    journal = Journal(cache / f"clips-{sha256(sense.made_by.encode()).hexdigest()[:16]}.jsonl")
    keys, problems = _keys(line.clip for dialogue in dialogues for line in dialogue.lines if line.clip)
    missing = {clip: key for clip, key in keys.items() if key not in journal.known}
    advance(len(problems) + len(keys) - len(missing))
    with journal:
        for results in _run_all(_tasks(missing), sense, processes):
            for result in results:
                if result.numbers is None:
                    problems.append(result.problem)
                else:
                    journal.add(result.key, result.numbers)
            advance(len(results))
    return [_filled(dialogue, sense.fills, keys, journal.known) for dialogue in dialogues], problems


class Journal:
    """Descriptions by key, on disk as they are made. A context manager: open while results are added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Float32] = {}
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                self.known = dict(filter(None, map(_entry, file)))

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        if self._file.tell():
            self._file.write("\n")  # ends what a killed run may have left half written
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, numbers: list[float]) -> None:
        plain = [None if math.isnan(number) else number for number in numbers]
        self._file.write(json.dumps({"clip": key, "audio": plain}) + "\n")
        self._file.flush()
        self.known[key] = np.array(numbers, dtype=np.float32)


def _entry(text: str) -> tuple[str, Float32] | None:
    """None for a line that was cut short."""
    try:
        row = json.loads(text)
        numbers = [math.nan if number is None else number for number in row["audio"]]
        return row["clip"], np.array(numbers, dtype=np.float32)
    except (KeyError, TypeError, ValueError):
        return None


def _keys(clips: Iterable[Clip]) -> tuple[dict[Clip, str], list[str]]:
    """A key for each clip, which changes when its file does; a sentence for each that has none."""
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
    """The clips of one file and channel together, so that a long recording is not decoded once an utterance."""
    files: dict[tuple[Path, int | None], list[Clip]] = defaultdict(list)
    for clip in clips:
        files[clip.path, clip.channel].append(clip)
    for (path, channel), wanted in files.items():
        wanted.sort(key=lambda clip: clip.start_s)
        for first in range(0, len(wanted), SPANS_A_TASK):
            some = wanted[first : first + SPANS_A_TASK]
            spans = tuple((clip.start_s, clip.end_s) for clip in some)
            yield _Task(path, channel, spans, tuple(clips[clip] for clip in some))


def _run_all(tasks: Iterable[_Task], sense: Sense, processes: int) -> Iterator[list[_Result]]:
    if processes <= 1:
        describe: Describe | None = None
        for task in tasks:
            describe = describe or sense.open()
            yield _run(task, sense, describe)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=(sense,))
    under_way: set[Future[list[_Result]]] = set()
    try:
        with _one_thread_each():
            for task in tasks:
                under_way.add(pool.submit(_run_in_worker, task))
                while len(under_way) >= 4 * processes:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads clips has died, perhaps of want of memory: run it again to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _run(task: _Task, sense: Sense, describe: Describe) -> list[_Result]:
    results: dict[str, _Result] = {}
    problem = f"{task.path} has no {sense.lacks}"
    try:
        for i, there in sense.read(task.path, task.spans, task.channel):
            start_s, end_s = task.spans[i]
            numbers = describe(there).tolist() if len(there) else None
            between = f" between {start_s:g} s and {end_s:g} s" if end_s is not None else ""
            results[task.keys[i]] = _Result(task.keys[i], numbers, f"{task.path} has no {sense.lacks}{between}")
    except DataError as error:
        problem = str(error)
    return [results.get(key, _Result(key, None, problem)) for key in task.keys]


_sense: Sense
_describe: Describe


def _begin(sense: Sense) -> None:
    """Readies a worker: its encoder, its signals, and its end when the one who started it was killed."""
    global _sense, _describe
    _sense, _describe = sense, sense.open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run_in_worker(task: _Task) -> list[_Result]:
    return _run(task, _sense, _describe)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started inside compute with one thread: there are as many workers as cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _filled(dialogue: Dialogue, field: str, keys: dict[Clip, str], known: dict[str, Float32]) -> Dialogue:
    def filled(line: Line) -> Line:
        numbers = known.get(keys.get(line.clip, "")) if line.clip else None
        given: dict[str, Any] = {field: None if numbers is None or not len(numbers) else numbers}
        return replace(line, **given) if line.clip else line

    return Dialogue(dialogue.id, tuple(map(filled, dialogue.lines)))

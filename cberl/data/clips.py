"""Raw features of a corpus's clips, computed in parallel and kept in a journal.

The journal has one JSON object per line, written as results arrive. A run that was killed loses only the clips that it
was working on; a line that was cut short is ignored. A file that has changed is encoded again.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cberl.data.clip_processes import run_in_processes
from cberl.data.clip_tasks import ClipEncoder, clip_tasks
from cberl.data.clips_on_ray import run_on_ray
from cberl.data.dialogue import Clip, Dialogue, Line
from cberl.storage import cache_file
from cberl.types import Float32


def encode_clips(
    dialogues: Sequence[Dialogue],
    encoder: ClipEncoder,
    cache: Path,
    *,
    processes: int = 1,
    on_ray: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[list[Dialogue], list[str]]:
    """The dialogues with one field of each line computed from its clip, and a sentence for each clip that failed.

    Lines without a clip stay as they are; a clip that is missing, unreadable or empty leaves the field empty. Results
    are kept in the folder `cache`. With one process, the work is done in the calling one; `on_ray` does it on a Ray
    cluster. `advance` is called with the
    number of clips that are done. Raises `DataError` if worker processes die whatever they read.
    """
    journal = FeatureJournal(cache_file(cache, "clips", encoder.made_by, ".jsonl"))
    keys, problems = _keys(line.clip for dialogue in dialogues for line in dialogue.lines if line.clip)
    missing = {clip: key for clip, key in keys.items() if key not in journal.known}
    advance(len(problems) + len(keys) - len(missing))
    with journal:
        tasks = clip_tasks(missing)
        for results in run_on_ray(tasks, encoder) if on_ray else run_in_processes(tasks, encoder, processes):
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


def _filled(dialogue: Dialogue, field: str, keys: dict[Clip, str], known: dict[str, Float32]) -> Dialogue:
    def filled(line: Line) -> Line:
        features = known.get(keys.get(line.clip, "")) if line.clip else None
        given: dict[str, Any] = {field: None if features is None or not len(features) else features}
        return replace(line, **given) if line.clip else line

    return Dialogue(dialogue.id, tuple(map(filled, dialogue.lines)))

"""How far a command has read its recordings, and how long the rest takes. On stderr, and only on a terminal."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from engine.ingest.file import FileSource
from engine.ingest.media_files import MediaFile

EVERY_S = 0.25


class RunProgress:
    """One bar for all files, by their duration. Without a terminal, nothing is shown."""

    def __init__(self, progress: Progress | None, files: Sequence[MediaFile]) -> None:
        self._progress = progress
        self._files = files
        known = all(it.duration_s for it in files)
        self._total_s = sum(it.duration_s or 0.0 for it in files) if known else None
        self._before_s = 0.0  # of files that are done
        self._done = 0
        if progress:
            self._task = progress.add_task("loading models", total=None)

    @property
    def console(self) -> Console | None:
        """For what is printed above the bar."""
        return self._progress.console if self._progress else None

    async def follow(self, source: FileSource, file: MediaFile) -> None:
        """Until cancelled."""
        if self._progress is None:
            return
        number = f"{self._done + 1}/{len(self._files)} " if len(self._files) > 1 else ""
        self._progress.update(self._task, description=f"{number}{_short(file.path)}", total=self._total_s)
        while True:
            self._progress.update(self._task, completed=self._before_s + source.position_s)
            await asyncio.sleep(EVERY_S)

    def finish(self, file: MediaFile) -> None:
        """The file is done, or could not be read."""
        self._done += 1
        self._before_s += file.duration_s or 0.0
        if self._progress:
            self._progress.update(self._task, completed=self._before_s)


@contextmanager
def run_progress(files: Sequence[MediaFile], *, shown: bool) -> Iterator[RunProgress]:
    """`shown`: False where nothing is wanted but the results."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield RunProgress(None, files)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        yield RunProgress(progress, files)


def _short(path: str, width: int = 32) -> str:
    text = Text(path.rpartition("/")[2] or path)
    text.truncate(width, overflow="ellipsis")
    return text.plain

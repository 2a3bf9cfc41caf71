"""Runs in parallel, each in a process of its own, so that a crash of one does not affect the others.

The stderr of a run is kept in its folder as `stderr.txt`.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from cberl.processes import SPAWN, interrupts_blocked
from cberl.training.core.runs import Result, Run, run_seed
from cberl.training.core.train import Epoch, set_threads
from cberl.training.core.training_data import TrainingData

STDERR = "stderr.txt"


@dataclass(frozen=True, slots=True)
class Task:
    """A run, the folder with its `TrainingData`, and its CPU threads."""

    run: Run
    data: Path
    threads: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended without a result."""

    why: str


Message = Epoch | Result | Failure
Report = Callable[[int, Message], None]  # index of the task, and its message


def run_in_processes(tasks: Sequence[Task], at_once: int, report: Report) -> None:
    """Runs all tasks, at most `at_once` in parallel; runs that were stopped continue. Leaves no process behind."""
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, task = waiting.popleft()
                ours, theirs = SPAWN.Pipe(duplex=False)
                process = SPAWN.Process(target=_child, args=(theirs, task), daemon=True)
                running[ours] = index, process
                with interrupts_blocked():
                    process.start()
                theirs.close()
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                index, process = running[pipe]
                message = _receive(pipe, process, tasks[index])
                if not isinstance(message, Epoch):
                    process.join()
                    pipe.close()
                    del running[pipe]
                report(index, message)
    finally:
        for _, process in running.values():
            if process.pid is not None:
                process.terminate()
                process.join()


def _receive(pipe: Connection, process: SpawnProcess, task: Task) -> Message:
    try:
        message: Epoch | Result = pipe.recv()
    except EOFError:
        process.join()
        return Failure(_why(task.run.folder / STDERR, process.exitcode or 0))
    return message


def _why(errors: Path, code: int) -> str:
    """What ended the process: a signal, or the exception at the end of its traceback."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    written = errors.read_text(errors="replace") if errors.is_file() else ""
    return exception_in(written) or f"ended with code {code}"


def exception_in(written: str) -> str | None:
    """The first line of the exception after the last traceback; a message may have several lines."""
    lines = written.splitlines()
    last_frame = max((n for n, line in enumerate(lines) if line.startswith("  File ")), default=-1)
    return next((line for line in lines[last_frame + 1 :] if line and not line.startswith(" ")), None)


def _child(pipe: Connection, task: Task) -> None:
    task.run.folder.mkdir(parents=True, exist_ok=True)
    with (task.run.folder / STDERR).open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())  # including output of native code
    pipe.send(work(task, pipe.send))


def work(task: Task, report: Callable[[Epoch], None]) -> Result:
    """Runs one task in the calling process."""
    set_threads(task.threads)
    return run_seed(task.run, TrainingData.load(task.data), resume=True, report=report)

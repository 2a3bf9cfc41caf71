"""Runs side by side, each in a process of its own, so that none can take another down.

What a run writes to stderr is kept in its folder as `stderr.txt`.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from cberl.training.core.runs import Material, Result, Run, run_seed
from cberl.training.core.train import Epoch, set_threads

STDERR = "stderr.txt"


@dataclass(frozen=True, slots=True)
class Task:
    """A run, the folder with its `Material`, and its CPU threads."""

    run: Run
    material: Path
    threads: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended without a result."""

    why: str


Report = Callable[[int, Epoch | Result | Failure], None]  # of which task, and what


def run_in_processes(tasks: Sequence[Task], at_once: int, report: Report) -> None:
    """Runs all; half-finished ones go on. However this ends, no process is left behind."""
    context = get_context("spawn")
    resource_tracker.ensure_running()  # starting it would unblock the signal that `_start` blocks
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, task = waiting.popleft()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(theirs, task), daemon=True)
                running[ours] = index, process
                _start(process)
                theirs.close()
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                index, process = running[pipe]
                said = _receive(pipe, process, tasks[index])
                if not isinstance(said, Epoch):
                    process.join()
                    pipe.close()
                    del running[pipe]
                report(index, said)
    finally:
        for _, process in running.values():
            if process.pid is not None:
                process.terminate()
                process.join()


def _start(process: SpawnProcess) -> None:
    """Ctrl-C on a terminal reaches every process; only this one shall answer, and end the others."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(pipe: Connection, process: SpawnProcess, task: Task) -> Epoch | Result | Failure:
    try:
        said: Epoch | Result = pipe.recv()
    except EOFError:
        process.join()
        return Failure(_why(task.run.folder / STDERR, process.exitcode or 0))
    return said


def _why(errors: Path, code: int) -> str:
    """What ended the process: a signal, or the exception below its traceback."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    written = errors.read_text(errors="replace") if errors.is_file() else ""
    return exception_in(written) or f"ended with code {code}"


def exception_in(written: str) -> str | None:
    """The first line of the exception below the last traceback: messages may have many."""
    lines = written.splitlines()
    last_frame = max((n for n, line in enumerate(lines) if line.startswith("  File ")), default=-1)
    return next((line for line in lines[last_frame + 1 :] if line and not line.startswith(" ")), None)


def _child(pipe: Connection, task: Task) -> None:
    task.run.folder.mkdir(parents=True, exist_ok=True)
    with (task.run.folder / STDERR).open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())  # also what native code says
    pipe.send(work(task, pipe.send))


def work(task: Task, report: Callable[[Epoch], None]) -> Result:
    """One task, in whatever process this is."""
    set_threads(task.threads)
    return run_seed(task.run, Material.load(task.material), resume=True, report=report)

"""Features of clips in parallel processes of this machine."""

import logging
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from cberl.data.clip_tasks import ClipEncoder, Encode, Result, Task, run_task
from cberl.data.dialogue import DataError
from cberl.processes import SPAWN, exit_with_parent, one_thread_each

MAX_DEATHS = 3  # of processes that read one file each, before it is not the files

log = logging.getLogger(__name__)


def run_in_processes(tasks: Iterable[Task], encoder: ClipEncoder, processes: int) -> Iterator[list[Result]]:
    """The results of each task, as they come. With one process, in this one. See `encode_clips`."""
    tasks = iter(tasks)
    if processes <= 1:
        encode: Encode | None = None
        for task in tasks:
            encode = encode or encoder.open()
            yield run_task(task, encoder, encode)
        return
    in_progress: list[Task] = []
    with one_thread_each():
        yield from _run_in_pool(tasks, encoder, processes, in_progress)
        while in_progress:  # a process has died
            yield from _run_alone(in_progress, encoder)
            in_progress.clear()
            yield from _run_in_pool(tasks, encoder, processes, in_progress)


def _run_in_pool(
    tasks: Iterator[Task], encoder: ClipEncoder, processes: int, in_progress: list[Task]
) -> Iterator[list[Result]]:
    """Until no tasks are left or a process dies. `in_progress` then has the tasks without results."""
    running: dict[Future[list[Result]], Task] = {}

    def finished() -> Iterator[list[Result]]:
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


def _run_alone(tasks: Iterable[Task], encoder: ClipEncoder) -> Iterator[list[Result]]:
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
            yield [Result(key, None, problem) for key in task.keys]
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(encoder: ClipEncoder, processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, SPAWN, initializer=_begin, initargs=(encoder,))


_encoder: ClipEncoder  # in worker processes only
_encode: Encode


def _begin(encoder: ClipEncoder) -> None:
    """Prepares a worker process: loads its encoder, and ignores Ctrl-C, upon which the parent ends its workers."""
    global _encoder, _encode
    _encoder, _encode = encoder, encoder.open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _run_in_worker(task: Task) -> list[Result]:
    return run_task(task, _encoder, _encode)

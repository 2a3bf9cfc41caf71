"""Child processes: spawned, not forked, deaf to Ctrl-C, and never left behind.

A fork would copy the locks that other threads hold. Ctrl-C on a terminal reaches every process of the group; only the
parent handles it, and ends its children.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker

SPAWN = get_context("spawn")


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """A process started in the block inherits a blocked SIGINT, so that no Ctrl-C reaches it, not even at start-up."""
    resource_tracker.ensure_running()  # if it were started in the block, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_with_parent() -> None:
    """Called in a child: ends it as soon as the parent is gone, even where the parent was killed."""
    threading.Thread(target=_await_parent, name="await parent", daemon=True).start()


def _await_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started in the block compute with one thread each, as is right where there is one for each core."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before

"""Threads of the models, from the cores that this process may use. docs/capacity.md has what was measured.

Many small calls run at once, so a call gains less from more threads than the calls beside it lose.
"""

import os
from dataclasses import dataclass

BLAS_THREADS = 1  # NumPy multiplies small matrices; more threads wait for each other by spinning


@dataclass(frozen=True, slots=True)
class RecogniserThreads:
    """`calls` at once, each with `per_call` threads."""

    calls: int
    per_call: int


def usable_cores() -> int:
    """Of this process, which may have fewer than the machine: by `taskset`, or in a container."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def recogniser_threads(cores: int) -> RecogniserThreads:
    """For Whisper on a CPU. A turn does not wait for one that another conversation, or its own pause, began.

    Half of the cores per call, at most four: the other half is for the other call and the other models. ONNX networks
    run with one thread each.
    """
    return RecogniserThreads(calls=min(2, cores), per_call=min(4, max(1, cores // 2)))

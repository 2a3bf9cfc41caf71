"""Runs a target on changed inputs. Every case is made again from the seed, the target's name and its number."""

import logging
import random
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from testing.fuzz.mutation import Mutator

CASE_S = 10.0  # one case takes milliseconds
MEMORY_BYTES = 4 << 30  # more than the process has at the start: no input of some kB asks for that


@dataclass(frozen=True, slots=True)
class Inputs:
    """`seeds` are valid; `parse` raises one of `refusals`, or takes the input. `tokens` are words of the format."""

    seeds: Sequence[bytes]
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()
    tokens: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `weight`: its share of the cases. `open` takes a folder for its files."""

    name: str
    weight: int
    open: Callable[[Path], AbstractContextManager[Inputs]]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many cases were taken, and how many refused."""

    taken: int
    refused: int


class Found(Exception):  # noqa: N818 - what fuzzing is for, not an error of it
    """An input that raises something else. The cause is what it raised."""

    def __init__(self, target: str, seed: int, case: int, data: bytes) -> None:
        super().__init__(f"{target}, case {case} of seed {seed}: {data[:300]!r}")
        self.target, self.seed, self.case, self.data = target, seed, case, data


TARGETS: dict[str, Target] = {}


def target(weight: int) -> Callable[[Callable[[Path], Iterator[Inputs]]], Callable[[Path], Iterator[Inputs]]]:
    """Adds a generator function of one `Inputs` to the table, under its name."""

    def add(opened: Callable[[Path], Iterator[Inputs]]) -> Callable[[Path], Iterator[Inputs]]:
        name = opened.__name__.replace("_", "-")
        TARGETS[name] = Target(name, weight, contextmanager(opened))
        return opened

    return add


def run(one: Target, seed: int, first: int, cases: int) -> Counted:
    """Cases `first` to `first + cases - 1`; the unchanged seeds before them. Raises Found."""
    taken = 0
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, one.open(Path(folder)) as inputs:
        for data in inputs.seeds:
            inputs.parse(data)  # a seed that is refused would test nothing: its error ends the run
        mutator = Mutator(inputs.seeds, inputs.tokens)
        for case in range(first, first + cases):
            data = mutator.make(random.Random(f"{seed}/{one.name}/{case}"))
            taken += _case(inputs, data, lambda case=case, data=data: Found(one.name, seed, case, data))
    return Counted(taken, cases - taken)


def _case(inputs: Inputs, data: bytes, found: Callable[[], Found]) -> bool:
    signal.setitimer(signal.ITIMER_REAL, CASE_S)
    try:
        inputs.parse(data)
    except inputs.refusals:
        return False
    except Exception as error:
        raise found() from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def shares(targets: Sequence[Target], cases: int) -> dict[str, int]:
    """`cases` divided by weight; the first takes what is left."""
    total = sum(one.weight for one in targets)
    given = {one.name: cases * one.weight // total for one in targets}
    given[targets[0].name] += cases - sum(given.values())
    return given


@contextmanager
def guarded() -> Iterator[None]:
    """A case that hangs raises TimeoutError, one that asks for too much memory MemoryError. Logs nothing."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"a case took more than {CASE_S:g} s")

    before = signal.signal(signal.SIGALRM, hung)
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        logging.disable(level)
        signal.signal(signal.SIGALRM, before)


def _memory() -> str | None:
    """Files of targets need no disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None

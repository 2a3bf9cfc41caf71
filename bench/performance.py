"""Measures the speed of the engine and writes docs/performance.md from what was measured.

    python bench/performance.py                    the document, from bench/results/*.json
    python bench/performance.py --run              measure everything first
    python bench/performance.py --run step vad     measure these first
    python bench/performance.py --check            exit with 1 where the document is not what the results make

Each measurement is a program of this folder, run alone, in sizes that take it minutes on two cores. One
that fails keeps its last result. A result is stored with its command and the machine that it was measured on.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS, DOCUMENT = ROOT / "bench" / "results", ROOT / "docs" / "performance.md"
PACKAGES = ("numpy", "onnxruntime", "ctranslate2", "faster-whisper", "uvicorn", "websockets", "torch")
TIMEOUT_S = 600.0
INTRODUCTION = """\
`make bench` writes this page from `bench/results/*.json`; `make bench NAMES="step vad"` measures some again. Sizes are
small, so that each measurement takes minutes on two cores: `--help` of each program says what it does and which other
sizes it takes. A ratio compares two things that were measured in one run; other figures vary with the load of the
machine, which had other work at times. [Capacity](capacity.md) has the search for the largest number of conversations,
`make soak` the long run."""


class Measurement(NamedTuple):
    name: str
    command: str  # after `python bench/`
    title: str
    text: str


MEASUREMENTS = (
    Measurement(
        "latency",
        "latency.py --seconds 40 --no-browser",
        "End of speech to emotion",
        "One conversation in real time. `late`: beyond the silence that ends a turn. Stages are p50 / p95 in ms.",
    ),
    Measurement(
        "capacity",
        "capacity.py --seconds 15 --speech 4,8,12,16 --captions 50,100,200,300",
        "Conversations at once",
        "Somebody speaks half of the time. Targets: 12 conversations with speech and 200 with captions, 95 % of the "
        "events within 1.5 s after speech. The driver runs on the same machine. Largest: of these numbers only; "
        "[capacity](capacity.md) has a search.",
    ),
    Measurement(
        "budget",
        "budget.py",
        "Processor time of captioned conversations",
        "Each stage by itself, and the cores that 200 conversations need for it. Somebody speaks half of the time.",
    ),
    Measurement(
        "step",
        "step.py --rounds 30",
        "The network's step",
        "One more utterance, on one thread. Targets: 0.3 ms, as long after 10,000 utterances as after 10 "
        "(at most 1.1 times), 64 conversations in one batch with 15 times the throughput of one.",
    ),
    Measurement(
        "because",
        "because.py",
        "What moved an emotion",
        "Earlier turns in `because` beside the causes that people marked in RECCON's test dialogues, and its cost. "
        "Targets: 5 points of recall@1 more than the better of the first two rules, and twice the cost of a step. "
        "`because` says what the network did; that is not what caused the emotion.",
    ),
    Measurement(
        "fanout",
        "fanout.py --rounds 2 --events 200",
        "Fan-out",
        "Processor time per delivery beside a bare `websockets.broadcast`. Target: 1.3 times.",
    ),
    Measurement(
        "fanout_stalled",
        "fanout.py --stalled --rounds 1 --events 400",
        "A subscriber that stops reading",
        "Time from publishing to arrival for the others. Target: 1.5 times.",
    ),
    Measurement("mqtt", "mqtt.py", "MQTT", "Events per second with QoS 1, beside bare paho."),
    Measurement(
        "vad",
        "vad.py --seconds 20",
        "Voice activity detection",
        "Percent of a core per track, by the number of tracks.",
    ),
    Measurement(
        "overhead",
        "overhead.py",
        "The engine without its models",
        "Processor time of the server for captioned conversations of two tracks, of which half speak, with models that "
        "cost nothing. Target: 0.15 cores for 100 conversations.",
    ),
    Measurement(
        "attacks",
        "attacks.py --passes 1",
        "Beside attacks",
        "Time after speech of a conversation beside each attack, and alone. Target of the ratio: 1.5.",
    ),
    Measurement(
        "gc_pauses",
        "gc_pauses.py --seconds 10",
        "Pauses of garbage collection",
        "Number of collections and the longest in ms, by load and generation. Target: 50 ms.",
    ),
    Measurement(
        "install",
        "install.py",
        "Size, start, memory",
        "The live engine on a CPU. Targets: 600 MB installed, 4 s to the first connection, 600 MB resident.",
    ),
    Measurement(
        "soak",
        "soak.py --minutes 2",
        "Clients that come and leave",
        "Tasks, threads, descriptors and memory. `make soak` does the same for ten minutes.",
    ),
    Measurement(
        "fleet",
        "fleet.py --seconds 30",
        "Beyond one machine",
        "Costs measured here, then simulated edges and replicas ([scale](scale.md)). Costs are in seconds of one core; "
        "machines have 8.",
    ),
    Measurement(
        "peers",
        "peers.py --sessions 1 2 4",
        "Beside other streaming recognisers",
        "Their end of speech to final transcript, and this engine's end of speech to emotion, with the same Whisper "
        "tiny.en and the same recording, one system after another. Percentiles leave out turns that were never final. "
        "The committed run shared its two cores with other work, which delays most those systems that need most "
        "processor time: these are not their figures on a free machine.",
    ),
)


def measure(one: Measurement, results: Path) -> bool:
    """Whether it was measured. The program's exit status says whether a target was reached, not that."""
    script, *arguments = one.command.split()
    command = [sys.executable, str(ROOT / "bench" / script), *arguments, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, env=environment)
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        print(f"{one.name} was not measured: {error}", file=sys.stderr)
        return False
    stored = {"command": f"python bench/{one.command}", "machine": machine(), "result": found}
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{one.name}.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return True


def machine() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_gb:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def document(results: Path) -> str:
    """The whole of docs/performance.md."""
    stored = {
        one: json.loads(file.read_text(encoding="utf-8"))
        for one in MEASUREMENTS
        if (file := results / f"{one.name}.json").exists()
    }
    machines: list[Mapping[str, str]] = []
    for it in stored.values():
        if it["machine"] not in machines:
            machines.append(it["machine"])
    parts = [
        "# Performance",
        INTRODUCTION,
        *(part for number, it in enumerate(machines, 1) for part in _machine(number, it)),
    ]
    for one, it in stored.items():
        parts += [f"## {one.title}", one.text, f"`{it['command']}`, on machine {machines.index(it['machine']) + 1}."]
        parts += [*tables(it["result"]), *charts(one.name, it["result"])]
    if missing := [one for one in MEASUREMENTS if one not in stored]:
        parts += ["## Not measured here", "\n".join(f"- {one.title}: `python bench/{one.command}`" for one in missing)]
    return "\n\n".join(parts) + "\n"


def _machine(number: int, it: Mapping[str, str]) -> Iterator[str]:
    yield f"## Machine {number}"
    yield _table(("", ""), it.items())


def tables(found: Any, title: str = "") -> Iterator[str]:
    """Markdown of any result: values together, rows with the same columns together, the rest each with its title."""
    if title:
        yield f"**{_words(title)}**"
    if isinstance(found, list):
        yield _table(found[0], [row.values() for row in found])
        return
    values = {name: it for name, it in found.items() if not isinstance(it, dict) and not _rows(it)}
    nested = {name: it for name, it in found.items() if name not in values and it != {}}
    if values:
        yield _table(("figure", "value"), values.items())
    first, *others = nested.values() or [None]
    alike = isinstance(first, dict) and all(isinstance(it, dict) and it.keys() == first.keys() for it in others)
    if first and others and alike and not any(isinstance(it, dict) or _rows(it) for it in first.values()):
        yield _table(("", *first), [(name, *it.values()) for name, it in nested.items()])
        return
    for name, it in nested.items():
        yield from tables(it, f"{title}: {name}" if title else name)


def _rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _table(heads: Sequence[str] | Mapping[str, object], rows: Any) -> str:
    heads = [_words(it) for it in heads]
    lines = [heads, ["---"] * len(heads), *([_shown(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        case list():
            return " / ".join(_shown(it) for it in value) or "none"
    return str(value).replace("|", "\\|")


def charts(name: str, found: Any) -> Iterator[str]:
    """Of capacity: milliseconds after speech, at the 95th percentile, over the number of conversations."""
    if name != "capacity":
        return
    for kind, it in found.items():
        rows = sorted((row for row in it["rows"] if row["p95_ms"] is not None), key=lambda row: row["conversations"])
        numbers, late = [row["conversations"] for row in rows], [round(row["p95_ms"]) for row in rows]
        lines = ["```mermaid", "xychart-beta", f'    title "{kind}: p95 after speech"']
        lines += [f'    x-axis "conversations" {numbers}', f'    y-axis "ms" 0 --> {max([1500, *late])}']
        yield "\n".join([*lines, f"    line {late}", f"    line {[1500] * len(late)}", "```"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [one.name for one in MEASUREMENTS]
    parser.add_argument("--run", nargs="*", metavar="NAME", help=f"measure these, or all: {', '.join(names)}")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the document differs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="where the document is")
    options = parser.parse_args()
    if unknown := set(options.run or ()) - set(names):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    measured = True
    if options.run is not None:
        for one in MEASUREMENTS:
            if not options.run or one.name in options.run:
                print(f"python bench/{one.command}", flush=True)
                measured &= measure(one, options.results)
    text = document(options.results)
    if options.check:
        return int(options.document.read_text(encoding="utf-8") != text)
    options.document.write_text(text, encoding="utf-8")
    return int(not measured)


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: the committed document is that of the committed results, and shows their figures."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def performance(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "bench" / "performance.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_the_document_is_what_the_committed_results_make() -> None:
    done = performance("--check")
    assert done.returncode == 0, f"run python bench/performance.py {done.stderr}"


def test_the_document_shows_figures_command_and_machine_and_what_is_missing(tmp_path: Path) -> None:
    result = {"lengths": [{"length": 10, "step": 0.25}], "flatness": 1.04, "stages_ms": {"asr": [80.0, 1234.5]}}
    stored = {"command": "python bench/step.py --rounds 7", "machine": {"processor": "Acme 9000"}, "result": result}
    (tmp_path / "step.json").write_text(json.dumps(stored))
    document = tmp_path / "performance.md"
    files = ("--results", tmp_path, "--document", document)
    assert performance(*files).returncode == 0
    text = document.read_text()
    for part in ("| 10 | 0.25 |", "| flatness | 1.04 |", "| asr | 80 / 1,234 |", "`python bench/step.py --rounds 7`"):
        assert part in text
    assert "| processor | Acme 9000 |" in text
    assert "- Fan-out: `python bench/fanout.py" in text.partition("## Not measured here")[2]
    assert performance(*files, "--check").returncode == 0
    document.write_text(text.replace("0.25", "0.24"))
    assert performance(*files, "--check").returncode == 1


def test_an_unknown_measurement_is_an_error_that_names_the_known() -> None:
    done = performance("--run", "stepp")
    assert done.returncode == 2
    assert "no measurement is called stepp; known are latency," in done.stderr

"""The prose of the repository, judged by `testing/prose.py` as its command."""

import subprocess
import sys
from pathlib import Path

import pytest

from testing.prose import judge, python_prose, replaced_names

ROOT = Path(__file__).parents[1]


def test_a_finding_is_printed_and_ends_with_status_1(tmp_path: Path) -> None:
    folder = tmp_path / "testing"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "prose.py").write_text((ROOT / "testing" / "prose.py").read_text())
    (tmp_path / "bad.py").write_text('"""One task a broker."""\n')
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "add", "bad.py"], cwd=tmp_path, check=True)
    run = subprocess.run(
        [sys.executable, "-m", "testing.prose"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "bad.py:1: bare article: task a broker\n")


@pytest.mark.parametrize("text", ["(N, dim) a modality", "one result a request", "it comes along", "is passed over"])
def test_what_breaks_a_rule_is_found(text: str) -> None:
    assert list(judge(text))


@pytest.mark.parametrize("text", ["(N, dim) per modality", "rename a speaker", "ends a turn", "the file of a clip"])
def test_plain_sentences_pass(text: str) -> None:
    assert not list(judge(text))


def test_code_is_not_prose_but_its_names_are_judged() -> None:
    source = 'x = "passed over"\n# a comment\ndef carry_out() -> None:\n    """A docstring."""\n'
    assert [line for line, _ in python_prose(source)] == [4, 2]
    assert list(replaced_names(source)) == [(3, "carry_out")]

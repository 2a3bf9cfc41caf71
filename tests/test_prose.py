"""The lint of names and prose, and that the repository passes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from testing.prose import EVERYTHING, check, check_tree

ROOT = Path(__file__).parents[1]


def rules(source: str, path: str = "engine/example.py") -> list[str]:
    return [it.rule for it in check(path, source)]


def test_the_repository_follows_its_rules_of_prose() -> None:
    assert {"engine", "cberl", "clients", "tests", "README.md", "CONTRIBUTING.md"} <= set(EVERYTHING)
    assert not list(map(str, check_tree()))


@pytest.mark.parametrize(
    "text",
    ["float32[d] a modality", "(N, dim) a modality", "one segmenter a track", "One task a broker", "one a track",
     "A confusion matrix a dialogue", "12 events a second", "20 ms a packet", "once a publisher", "two kB a turn"],
)  # fmt: skip
def test_a_distributive_article_is_found(text: str) -> None:
    assert rules(f'"""{text}."""\n') == ["distributive article"]
    on_two_lines = text.replace(" ", "\n# ")
    assert rules(f"# {on_two_lines}\n") == ["distributive article"]


@pytest.mark.parametrize(
    "text",
    ["(N, dim) per modality", "renames a speaker", "silence that ends a turn", "the file of a clip", "waits a second",
     "one without a label", "One clock inside a conversation", "half a second", "a call that opens a session"],
)  # fmt: skip
def test_other_articles_are_not_found(text: str) -> None:
    assert rules(f'"""{text}."""\n') == []


@pytest.mark.parametrize(
    "text", ["fields that are passed over", "it comes along", "at the speed\nof life", "is told as"]
)
def test_a_phrase_that_needs_a_second_reading_is_found(text: str) -> None:
    assert rules(f'"""{text}"""\n') == ["phrase"]


def test_a_replaced_name_is_found_in_code_and_in_backticks() -> None:
    assert rules("class HeardTurn:\n    rung_s = 0\n") == ["old name", "old name"]
    assert rules("# as `carry_out` does\n") == ["old name"]
    assert rules("from engine.ingest import Publisher\n") == ["old name"]
    assert rules("from engine.mqtt import Publisher\n", "engine/mqtt/example.py") == []


def test_trailing_comments_of_neighbouring_lines_are_not_one_sentence() -> None:
    assert rules("on = 1  # what starts a turn\noff = 0  # a window\n") == []


def test_comments_and_texts_of_scripts_are_prose_and_their_code_is_not() -> None:
    assert rules("const anew = 1; // bars a person\n", "clients/example.js") == ["distributive article"]
    assert rules('say("one a track");\n', "clients/example.js") == ["distributive article"]


def test_the_command_prints_places_and_totals_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text("# Title\n\nOne task a broker.\n")
    found = lint(tmp_path, "bad.md")
    assert found.returncode == 1
    assert found.stdout.startswith("bad.md:3: distributive article: 'One task a broker'")
    counted = lint(tmp_path, "bad.md", "--count")
    assert (counted.returncode, counted.stdout.split()[:3]) == (1, ["1", "distributive", "article"])


def test_the_command_exits_with_0_where_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("One task per broker.\n")
    found = lint(tmp_path, "good.md")
    assert (found.returncode, found.stdout) == (0, "")


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "testing" / "prose.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

"""Checks the prose of docstrings, comments and documents, and the names of things, against CONTRIBUTING.md.

    python -m testing.prose [PATH ...]      each finding with file and line; exit status 1 if there are any
    python -m testing.prose --count         the number of findings per rule; always 0

Rules: quantities per item are written with "per" or "for each", never with a bare article; plain words instead of
pictures; names that were replaced by the terms of docs/glossary.md do not come back.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("docs/report", "docs/asyncapi.json", "docs/schema", "CHANGELOG.md", "testing/prose.py")

COUNTED = (
    r"batch|bytes|channel|channels|chunk|chunks|client|connection|copies|copy|dB|embedding|event|events|field|file"
    r"|files|frame|frames|line|lines|message|messages|ms|name|names|number|numbers|once|one|packet|packets|picture"
    r"|pictures|point|points|probabilities|probability|process|processes|queue|request|result|results|row|rows|samples"
    r"|score|scores|segmenter|sentence|socket|speaker|task|tasks|thread|threads|times|transcript|value|values|vector"
    r"|vectors|verb|weight|weights|word|worker"
)
ITEM = (
    r"batch|broker|channel|class|client|clip|conversation|core|delivery|dialogue|emotion|epoch|event|example|file|fold"
    r"|frame|hour|label|line|minute|modality|page|part|peer|person|publisher|recording|request|row|sample|second|seed"
    r"|seeds|session|source|speaker|split|step|subscriber|track|turn|utterance|verb|window"
)
RULES = {
    "bare article": re.compile(rf"(?:\)|\]|\b(?:{COUNTED})) an? (?:{ITEM})\b(?! (?:time|name))"),
    "picture": re.compile(
        r"passed over|com(?:es|e|ing) along|at the speed of life|[Ww]ho (?:never|waits for)\b|told as\b|bites? when"
        r"|say what waited|has ears|makes of it what|known better|goes on by itself"
    ),
}
REPLACED = frozenset({
    "Attributed", "Beginning", "Brokers", "Describer", "Ear", "Film", "Following", "Heard", "HeardTurn", "Inference",
    "Journal", "Judges", "Load", "Material", "Merged", "Outlets", "Pace", "Place", "Publisher", "Resumed", "Sense",
    "Settled", "Sight", "Translator", "Understanding", "Verdicts", "carry_out", "earlier", "glimpse", "hear", "hold",
    "load_starter", "misheard", "opinions", "perceived", "reread", "rung", "seat", "taught",
})  # fmt: skip
DEFINES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Finding:
    path: Path
    line: int
    rule: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.found}"


def findings(paths: list[Path]) -> Iterator[Finding]:
    """In all Python, Markdown and JavaScript files below these paths that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if name.endswith((".py", ".md", ".js")) and not name.startswith(GENERATED):
            text = (ROOT / name).read_text(encoding="utf-8")
            passages = python_prose(text) if name.endswith(".py") else enumerate(text.splitlines(), 1)
            for line, passage in passages:
                yield from (Finding(Path(name), line, *found) for found in judge(passage))
            if name.endswith(".py"):
                yield from (Finding(Path(name), line, "replaced name", it) for line, it in replaced_names(text))


def judge(passage: str) -> Iterator[tuple[str, str]]:
    """(rule, what breaks it) in one line of prose."""
    for rule, pattern in RULES.items():
        for match in pattern.finditer(passage):
            yield rule, match[0].strip()[-60:]


def python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines of docstrings and comments, with their numbers."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (*DEFINES, ast.Module)) and ast.get_docstring(node):
            docstring = node.body[0]
            lines = text.splitlines()[docstring.lineno - 1 : docstring.end_lineno]
            yield from enumerate(lines, docstring.lineno)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def replaced_names(text: str) -> Iterator[tuple[int, str]]:
    """Classes and functions that are called by a name that was replaced."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DEFINES) and node.name in REPLACED:
            yield node.lineno, node.name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[Path()], metavar="PATH")
    parser.add_argument("--count", action="store_true", help="only the number of findings per rule")
    options = parser.parse_args()
    found = list(findings(options.paths))
    if options.count:
        for rule, count in Counter(it.rule for it in found).most_common():
            print(f"{count:6}  {rule}")
        print(f"{len(found):6}  in all")
        return 0
    for it in found:
        print(it)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

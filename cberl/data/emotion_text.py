"""Text with emotion labels in one file: single sentences, or conversations with turns.

Layout: a `.jsonl.gz` with one JSON object per line. `text`; `meld`: one of MELD's labels, a list of those that hold, or
null where none does; of conversations `dialogue`, `turn` and `speaker`; optionally `votes`: how many annotators chose
each of VOTES, one digit each. A sentence is a dialogue of one turn. Corpora differ in the splits they were published
with, or have none: dialogues are drawn here, a tenth each for dev and test.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from cberl.data.dialogue import UNLABELLED, DataError, Dialogue, Line, held_out, shares_of
from cberl.data.json_lines import read_json_lines
from cberl.data.meld import clean_text
from cberl.labels import MELD

SUFFIX = ".jsonl.gz"
VOTES = ("neutral", "joy", "sadness", "fear", "anger", "surprise", "disgust")
HELD_OUT = 0.1  # share of the dialogues, for each of dev and test


def is_emotion_text(path: Path) -> bool:
    """Whether this is such a file, by its name and its first line. Raises `DataError` where that cannot be read."""
    if not (path.is_file() and path.name.endswith(SUFFIX)):
        return False
    _, first = next(read_json_lines(path), (0, {}))
    return {"text", "meld"} <= first.keys()


def read_emotion_text(path: Path, split: str) -> list[Dialogue]:
    """One split's dialogues, with MELD's labels, in the order of the file. Raises `DataError` with file and line."""
    turns: dict[str, dict[int, Line]] = defaultdict(dict)
    for number, row in read_json_lines(path):
        try:
            dialogue, turn = str(row.get("dialogue", row.get("id", number))), int(row.get("turn", 0))
            if turn in turns[dialogue]:
                raise ValueError(f"turn {turn} of dialogue {dialogue}, which was there before")
            turns[dialogue][turn] = _line(row, turn)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
    test = held_out(turns, HELD_OUT)
    dev = held_out(turns.keys() - test, HELD_OUT / (1 - HELD_OUT))
    wanted = {"dev": dev, "test": test}.get(split, turns.keys() - dev - test)
    return [
        Dialogue(f"{split}/{name}", tuple(line for _, line in sorted(lines.items())))
        for name, lines in turns.items()
        if name in wanted
    ]


def _line(row: dict[str, Any], turn: int) -> Line:
    labels = _labels(row["meld"])
    counts = [labels.count(name) for name in MELD]
    if votes := row.get("votes"):
        cast = dict(zip(VOTES, map(int, votes), strict=True))
        counts = [cast[name] for name in MELD]
    # The order of the turns is known, their times are not.
    return Line(
        speaker=str(row.get("speaker", "")),
        text=clean_text(row["text"]),
        label=MELD.index(labels[0]) if len(labels) == 1 else UNLABELLED,
        start_s=float(turn),
        end_s=float(turn),
        shares=shares_of(counts),
    )


def _labels(given: Any) -> list[str]:
    labels = [given] if isinstance(given, str) else list(given or ())
    if unknown := set(labels) - set(MELD):
        raise ValueError(f"the label {sorted(unknown)[0]!r}: not one of MELD's")
    return labels

"""EmoryNLP (Zahiri & Choi 2018): the CSV files. Each scene is a dialogue.

Layout: `emorynlp_{train,dev,test}_final.csv`, with a label set of its own.
"""

import ast
from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path

from cberl.data.csv_rows import read_rows, unique_id, whole_number
from cberl.data.dialogue import DataError, Dialogue, Line
from cberl.data.meld import clean_text, timestamp_s

LABELS = ("neutral", "joyful", "peaceful", "powerful", "scared", "mad", "sad")

_COLUMNS = {"Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode", "Start_Time"}


def read_emorynlp(folder: Path, split: str) -> list[Dialogue]:
    """One split's scenes, in the files' order. Raises `DataError` on a missing file or a bad row."""
    path = folder / f"emorynlp_{split}_final.csv"
    if not path.is_file():
        raise DataError(f"{path} is missing: give the folder with EmoryNLP's emorynlp_*_final.csv files")
    lines: dict[str, list[tuple[int, Line]]] = defaultdict(list)
    seen: dict[Hashable, int] = {}
    for number, row in read_rows(path, _COLUMNS):
        scene = f"{split}/s{row['Season']}e{row['Episode']}c{row['Scene_ID']}"
        try:
            position = whole_number(row, "Utterance_ID")
            unique_id(seen, (scene, position), number)
            lines[scene].append((position, _line(row)))
        except (AttributeError, KeyError, SyntaxError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
    return [
        Dialogue(scene, tuple(line for _, line in sorted(numbered, key=lambda pair: pair[0])))
        for scene, numbered in lines.items()
    ]


def _line(row: dict[str, str]) -> Line:
    return Line(
        # ['Monica Geller', 'Phoebe Buffay'], speaking at the same time, count as one more speaker
        speaker=", ".join(ast.literal_eval(row["Speaker"])),
        text=clean_text(row["Utterance"]),
        label=LABELS.index(row["Emotion"].strip().lower()),
        start_s=timestamp_s(row["Start_Time"]),
        end_s=timestamp_s(row["End_Time"]),
    )

"""IEMOCAP (Busso et al. 2008): the official release, or one file with its text, times, labels and prosody.

Release: `Session<n>/dialog/EmoEvaluation/*.txt` (times and labels by majority of the annotators),
`Session<n>/dialog/transcriptions/*.txt`, `Session<n>/sentences/wav/<dialogue>/<utterance>.wav`.
File: `text_prosody.jsonl.gz`, one JSON object per line. Both hold the ten actors' 151 dialogues, in order of start.
Utterances outside the label set are kept without a label, because they are context.

The label sets of six and of four are the usual ones: excitement is a class among the six, and part of happiness among
the four. Session 5 is test; twelve whole dialogues of the others are dev.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cberl.data.dialogue import UNLABELLED, Clip, DataError, Dialogue, Line
from cberl.data.json_lines import numbers_or_nan, read_json_lines
from cberl.labels import IEMOCAP4, IEMOCAP6

LABELS = {6: IEMOCAP6, 4: IEMOCAP4}
FILE = "text_prosody.jsonl.gz"
TEST_SESSION = "Ses05"
DEV = frozenset(
    ("Ses01M_impro01", "Ses01M_script03_1", "Ses02F_impro02", "Ses02F_impro07", "Ses02M_script01_2", "Ses03F_impro01")
    + ("Ses03M_impro02", "Ses03M_impro08a", "Ses03M_script02_2", "Ses03M_script03_2", "Ses04F_impro07")
    + ("Ses04F_script02_1",)
)

_NAMES = {
    "hap": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "ang": "anger",
    "exc": "excitement",
    "fru": "frustration",
}
_OUTSIDE = {"xxx", "oth", "sur", "fea", "dis"}  # no majority, other, and three classes that are too rare to be scored
_CODES = {
    6: {code: IEMOCAP6.index(name) for code, name in _NAMES.items()},
    4: {code: IEMOCAP4.index(name) for code, name in _NAMES.items() if name in IEMOCAP4}
    | {"exc": IEMOCAP4.index("happiness")},
}

# [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
_EVALUATION = re.compile(
    r"\[(?P<start>\d+\.?\d*) - (?P<end>\d+\.?\d*)\]\s+(?P<utt>Ses\d\d\w+_[FM]\w+)\s+(?P<code>\w+)\s+\["
)
# Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
_TRANSCRIPT = re.compile(r"(?P<utt>Ses\d\d\w+_[FM]\w+) \[[\d.]+-[\d.]+\]:(?P<text>.*)")


def split_of(dialogue: str) -> str:
    """The split of a dialogue, by its name, such as `Ses01F_impro01`."""
    return "test" if dialogue.startswith(TEST_SESSION) else "dev" if dialogue in DEV else "train"


def read_iemocap(folder: Path, split: str, classes: int = 6) -> list[Dialogue]:
    """One split's dialogues of `text_prosody.jsonl.gz`. Raises `DataError` on a missing file or a bad line."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{path} is missing: give the folder with IEMOCAP's {FILE}")
    lines: dict[str, list[Line]] = defaultdict(list)
    for number, row in read_json_lines(path):
        try:
            if split_of(row["dialogue"]) == split:
                lines[row["dialogue"]].append(_line(row, classes))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
    return _dialogues(lines)


def _line(row: dict[str, Any], classes: int) -> Line:
    label = row[f"label{classes}"]
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"label{classes} {label!r}: it must be below {classes}, or null")
    audio = row["audio"]
    return Line(
        speaker=row["speaker"].strip(),
        text=row["text"].strip(),
        label=UNLABELLED if label is None else label,
        start_s=float(row["start"]),
        end_s=float(row["end"]),
        prosody=None if audio is None else numbers_or_nan(audio),
    )


def read_iemocap_release(folder: Path, split: str, classes: int = 6) -> list[Dialogue]:
    """One split's dialogues of the official release, with clips if its recordings are there. Raises `DataError`."""
    evaluations = [path for path in evaluation_files(folder) if split_of(path.stem) == split]
    if not evaluations:
        raise DataError(f"{folder} has no dialog/EmoEvaluation/*.txt of the {split} split in any Session folder")
    return _dialogues({path.stem: list(_evaluated(path, classes)) for path in evaluations})


def evaluation_files(folder: Path) -> list[Path]:
    """The release's label files, in order. (Files of macOS beside them, `._Ses*`, are ignored.)"""
    return sorted(p for p in folder.glob("Session*/dialog/EmoEvaluation/Ses*.txt") if p.is_file())


def _evaluated(path: Path, classes: int) -> Iterator[Line]:
    session = path.parent.parent.parent
    texts = _transcripts(session / "dialog" / "transcriptions" / path.name)
    recordings = session / "sentences" / "wav" / path.stem
    recorded = recordings.is_dir()
    for number, text in _numbered(path):
        if not text.startswith("["):
            continue  # the header, and the individual annotations
        found = _EVALUATION.match(text)
        if found is None:
            raise DataError(f"{path}, line {number}: expected [start - end], turn, emotion, [V, A, D], not {text!r}")
        utterance, code = found["utt"], found["code"]
        if code not in _CODES[6] and code not in _OUTSIDE:
            raise DataError(f"{path}, line {number}: {code!r} is not an emotion of IEMOCAP")
        yield Line(
            speaker=utterance[:5] + utterance.rsplit("_", 1)[1][0],  # Ses01 + F or M
            text=texts.get(utterance, ""),
            label=_CODES[classes].get(code, UNLABELLED),
            start_s=float(found["start"]),
            end_s=float(found["end"]),
            clip=Clip(recordings / f"{utterance}.wav") if recorded else None,
        )


def _transcripts(path: Path) -> dict[str, str]:
    """Text by utterance. Lines of people who are not evaluated have names of another form and are ignored."""
    if not path.is_file():
        raise DataError(f"{path} is missing: the release has a transcription for each label file")
    found = (_TRANSCRIPT.match(text) for _, text in _numbered(path))
    return {match["utt"]: match["text"].strip() for match in found if match}


def _numbered(path: Path) -> Iterable[tuple[int, str]]:
    return enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)


def _dialogues(lines: dict[str, list[Line]]) -> list[Dialogue]:
    def spoken(line: Line) -> tuple[float, float]:
        return line.start_s, line.end_s

    return [Dialogue(name, tuple(sorted(some, key=spoken))) for name, some in lines.items()]

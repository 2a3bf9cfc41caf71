"""MELD (Poria et al. 2019): the official CSV files, with clips or prosody beside them.

Layout: `{train,dev,test}_sent_emo.csv` as released; optionally the release's clips, `dia<D>_utt<U>.mp4` in
`train_splits`, `dev_splits_complete` and `output_repeated_splits_test` (each in the folder itself, or in `train`,
`dev`, `test`); optionally `text_prosody.jsonl.gz` with one JSON object per line (`utt` = "dia<D>_utt<U>", `split`,
`audio` = eight numbers or null); and optionally `meld_train_votes.jsonl.gz` with how many annotators, who read the
text, chose each label for a line of train (`dialogue`, `utt`, `votes`).
"""

from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path

from cberl.data.csv_rows import read_rows, unique_id, whole_number
from cberl.data.dialogue import Clip, DataError, Dialogue, Line, shares_of
from cberl.data.json_lines import numbers_or_nan, read_json_lines
from cberl.labels import MELD
from cberl.types import Float32

_CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_SUFFIXES = (".mp4", ".wav", ".flac")
_COLUMNS = {"Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime"}
PROSODY_FILE, VOTES_FILE = "text_prosody.jsonl.gz", "meld_train_votes.jsonl.gz"
# The release mixes cp1252 bytes into UTF-8 text, which became these code points.
_CP1252 = {0x91: "'", 0x92: "'", 0x93: '"', 0x94: '"', 0x96: "-", 0x97: "-", 0x85: "...", 0xA0: " "}
_CURLY = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-", 0x2026: "..."}

Prosody = dict[tuple[str, str], Float32]
Votes = dict[tuple[int, int], tuple[float, ...] | None]


def clean_text(text: str) -> str:
    """`text` with plain quotes, dashes and blanks."""
    return " ".join(text.translate(_CP1252 | _CURLY).split())


def read_meld(folder: Path, split: str) -> list[Dialogue]:
    """One split's dialogues, in the release's order. Raises `DataError` on a missing file or a bad row."""
    path = csv_file(folder, split)
    if not path.is_file():
        raise DataError(f"{path} is missing: --data takes the folder with MELD's *_sent_emo.csv files")
    prosody = _read_prosody(folder / PROSODY_FILE)
    votes = _read_votes(folder / VOTES_FILE) if split == "train" else {}
    clips = _Clips(folder, split)
    lines: dict[int, list[tuple[int, Line]]] = defaultdict(list)
    seen: dict[Hashable, int] = {}
    for number, row in read_rows(path, _COLUMNS):
        try:
            dialogue, position = whole_number(row, "Dialogue_ID"), whole_number(row, "Utterance_ID")
            unique_id(seen, (dialogue, position), number)
            name = f"dia{dialogue}_utt{position}"
            line = _line(row, prosody.get((split, name)), clips.find(name), votes.get((dialogue, position)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
        lines[dialogue].append((position, line))
    return [
        Dialogue(f"{split}/{name}", tuple(line for _, line in sorted(numbered, key=lambda pair: pair[0])))
        for name, numbered in lines.items()
    ]


def csv_file(folder: Path, split: str) -> Path:
    """The path of a split's CSV file. The release has `train_sent_emo.csv` in the archive of the training clips."""
    name = f"{split}_sent_emo.csv"
    beside = folder / split / name
    return beside if beside.is_file() and not (folder / name).is_file() else folder / name


class _Clips:
    """One split's media folder, listed once."""

    def __init__(self, folder: Path, split: str) -> None:
        places = [place for place in (folder / _CLIPS[split], folder / split / _CLIPS[split]) if place.is_dir()]
        self._place = places[0] if places else None
        self._names = {path.name for path in places[0].iterdir()} if places else set()

    def find(self, name: str) -> Clip | None:
        """None if the corpus has no clips. A clip whose file is missing is reported when it is read."""
        if self._place is None:
            return None
        files = (name + suffix for suffix in _SUFFIXES if name + suffix in self._names)
        return Clip(self._place / next(files, name + _SUFFIXES[0]))


def _line(row: dict[str, str], prosody: Float32 | None, clip: Clip | None, shares: tuple[float, ...] | None) -> Line:
    return Line(
        speaker=row["Speaker"].strip(),
        text=clean_text(row["Utterance"]),
        label=MELD.index(row["Emotion"].strip().lower()),
        start_s=timestamp_s(row["StartTime"]),
        end_s=timestamp_s(row["EndTime"]),
        prosody=prosody,
        clip=clip,
        shares=shares,
    )


def timestamp_s(timestamp: str) -> float:
    """`00:16:16,059` -> 976.059"""
    hours, minutes, seconds = timestamp.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _read_prosody(path: Path) -> Prosody:
    if not path.is_file():
        return {}
    found: Prosody = {}
    for number, row in read_json_lines(path):
        try:
            if row["audio"] is not None:
                found[row["split"], row["utt"]] = numbers_or_nan(row["audio"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
    return found


def _read_votes(path: Path) -> Votes:
    if not path.is_file():
        return {}
    found: Votes = {}
    for number, row in read_json_lines(path):
        try:
            found[int(row["dialogue"]), int(row["utt"])] = shares_of([float(row["votes"][name]) for name in MELD])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: cannot read {error}") from error
    return found

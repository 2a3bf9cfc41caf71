"""The user's own data: a small header, one JSON object per utterance, and recordings; see `docs/data.md`.

`corpus.toml` has `name` and `labels`. `train.jsonl`, `dev.jsonl` and `test.jsonl`, of which not all are needed, have
one utterance per line: `conversation`, `speaker`, `start_s`, `end_s`, and optionally `text`, `emotion`, `media` (the
conversation's recording), `channel` (of `media`, from 1) and `clip` (a file with this utterance alone). Paths are
relative to the folder and lead to files in it. Lines may be in any order. Without `dev.jsonl`, a tenth of the training
conversations is dev.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cberl.data.dialogue import SPLITS, UNLABELLED, Clip, DataError, Dialogue, Line, held_out

HEADER = "corpus.toml"
DEV_SHARE = 0.1
_SHOWN = 3  # problems in the message of a `DataError`; `cberl data check` lists all


class Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    labels: list[str] = Field(min_length=2)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels) or "" in self.labels:
            raise ValueError("labels must be distinct and not empty")
        return self


class Row(BaseModel):
    """One line as written."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    conversation: str = Field(min_length=1)
    speaker: str = Field(min_length=1)
    start_s: float = Field(ge=0, allow_inf_nan=False, strict=True)
    end_s: float = Field(allow_inf_nan=False, strict=True)
    text: str = ""
    emotion: str | None = None
    media: str | None = Field(None, min_length=1)
    channel: int | None = Field(None, ge=1, strict=True)
    clip: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s {self.end_s:g} must be after start_s {self.start_s:g}")
        if self.media and self.clip:
            raise ValueError("give media (the conversation's recording) or clip (this utterance alone), not both")
        if self.channel and not self.media:
            raise ValueError("channel needs media: it says which channel of it")
        if not (self.text.strip() or self.media or self.clip):
            raise ValueError("neither text nor media nor clip: there is nothing to learn from")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or a warning, and where it is."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A valid row and its place."""

    file: str
    line: int
    row: Row


@dataclass(slots=True)
class OwnData:
    """Everything that could be read from a folder, and the problems of the rest."""

    folder: Path
    header: Header | None = None
    rows: dict[str, list[Numbered]] = field(default_factory=dict)  # by split; one key per existing file
    problems: list[Problem] = field(default_factory=list)


def files(folder: Path) -> dict[str, Path]:
    """The existing utterance files, by split."""
    return {split: path for split in SPLITS if (path := folder / f"{split}.jsonl").is_file()}


def parse(folder: Path) -> OwnData:
    """Reads everything but the media, and collects problems instead of raising."""
    data = OwnData(folder)
    data.header = _header(folder, data.problems)
    labels = data.header.labels if data.header else []
    for split, path in files(folder).items():
        data.rows[split] = list(_rows(path, labels, data.problems))
        if not data.rows[split]:
            data.problems.append(Problem(path.name, None, "it has no utterance that can be read"))
    if not data.rows:
        names = ", ".join(f"{split}.jsonl" for split in SPLITS)
        data.problems.append(Problem(str(folder), None, f"no utterances: it needs one or more of {names}"))
    data.problems.extend(_duplicates(data.rows))
    return data


def read_header(folder: Path) -> Header:
    """Raises `DataError`."""
    problems: list[Problem] = []
    header = _header(folder, problems)
    if header is None:
        raise DataError("; ".join(map(str, problems)))
    return header


def read_own(folder: Path, split: str) -> list[Dialogue]:
    """One split's conversations. Raises `DataError` with the first problems of the folder."""
    data = parse(folder)
    if data.problems or data.header is None:
        shown = "\n".join(f"  {problem}" for problem in data.problems[:_SHOWN])
        raise DataError(
            f"{folder} has {len(data.problems)} problem(s):\n{shown}\n`cberl data check {folder}` lists all"
        )
    if split not in splits(data):
        raise DataError(f"{folder / f'{split}.jsonl'} is missing: there is no {split} split")
    return dialogues(data, data.header, split)


def splits(data: OwnData) -> list[str]:
    """The splits that can be read: without a file of its own, dev is a part of train."""
    return [split for split in SPLITS if split in data.rows or (split == "dev" and "train" in data.rows)]


def dialogues(data: OwnData, header: Header, split: str) -> list[Dialogue]:
    rows = data.rows.get("train" if split == "dev" and "dev" not in data.rows else split, [])
    if split != "test" and "dev" not in data.rows:
        dev = held_out({one.row.conversation for one in rows}, DEV_SHARE)
        rows = [one for one in rows if (one.row.conversation in dev) == (split == "dev")]
    conversations: dict[str, list[Row]] = defaultdict(list)
    for one in rows:
        conversations[one.row.conversation].append(one.row)
    return [
        Dialogue(name, tuple(_line(row, header.labels, data.folder) for row in sorted(some, key=_spoken)))
        for name, some in conversations.items()
    ]


def clip_of(row: Row, folder: Path) -> Clip | None:
    if row.media:
        return Clip(folder / row.media, row.start_s, row.end_s, row.channel)
    return Clip(folder / row.clip) if row.clip else None


def _line(row: Row, labels: list[str], folder: Path) -> Line:
    label = UNLABELLED if row.emotion is None else labels.index(row.emotion)
    text = " ".join(row.text.split())
    return Line(row.speaker, text, label, row.start_s, row.end_s, clip=clip_of(row, folder))


def _spoken(row: Row) -> tuple[float, float]:
    return row.start_s, row.end_s


def _header(folder: Path, problems: list[Problem]) -> Header | None:
    path = folder / HEADER
    try:
        return Header.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        problems.append(Problem(HEADER, None, f"missing in {folder}: it names the corpus and its labels"))
    except ValidationError as error:
        problems.extend(Problem(HEADER, None, message) for message in _explain(error, Header))
    except (RecursionError, ValueError) as error:  # TOML or UTF-8
        problems.append(Problem(HEADER, None, f"not readable as TOML: {error}"))
    return None


def _rows(path: Path, labels: list[str], problems: list[Problem]) -> Iterator[Numbered]:
    for number, raw in enumerate(path.read_bytes().splitlines(), 1):
        if not raw.strip():
            continue
        try:
            row = Row.model_validate_json(raw.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            problems.append(Problem(path.name, number, f"not UTF-8 at byte {error.start + 1}: save the file as UTF-8"))
            continue
        except ValidationError as error:
            problems.extend(Problem(path.name, number, message) for message in _explain(error, Row))
            continue
        if row.emotion is not None and labels and row.emotion not in labels:
            message = f"unknown emotion {row.emotion!r}: {HEADER} has {', '.join(labels)}"
            problems.append(Problem(path.name, number, message + _did_you_mean(row.emotion, labels)))
            continue
        if (file := row.media or row.clip) and not _is_inside(path.parent, file):
            message = f"{_short(file)} is outside {path.parent}: copy the file into the folder"
            problems.append(Problem(path.name, number, message))
            continue
        yield Numbered(path.name, number, row)


def _is_inside(folder: Path, file: str) -> bool:
    """Also where links lead: a corpus from somebody else must not read other files of this machine."""
    try:
        return (folder / file).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a loop of links, or a name with a NUL
        return False


def _explain(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    for one in error.errors(include_url=False):
        name = ".".join(map(str, one["loc"]))
        match one["type"]:
            case "missing":
                yield f"{name} is missing"
            case "extra_forbidden":
                fields = list(model.model_fields)
                yield f"there is no field {name!r}{_did_you_mean(name, fields) or ': there are ' + ', '.join(fields)}"
            case "json_invalid":
                yield f"not JSON: {one['ctx']['error']}"
            case "value_error":
                yield str(one["ctx"]["error"])
            case "model_type":
                yield f"expected an object in braces, not {_short(one['input'])}"
            case _:
                said = one["msg"].removeprefix("Input ")
                yield f"{name} {said[0].lower()}{said[1:]}, not {_short(one['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _duplicates(rows: dict[str, list[Numbered]]) -> Iterator[Problem]:
    """Conversations in two splits, which would leak from training into test, and utterances that occur twice."""
    first_seen: dict[str, str] = {}
    for split, some in rows.items():
        for one in some:
            other = first_seen.setdefault(one.row.conversation, split)
            if other != split:
                message = f"conversation {one.row.conversation!r} is in {other}.jsonl too: it can be in one split only"
                yield Problem(one.file, one.line, message)
                first_seen[one.row.conversation] = split  # reported once per file
        lines: dict[tuple[object, ...], int] = {}
        for one in some:
            key = (one.row.conversation, one.row.speaker, one.row.start_s, one.row.end_s, one.row.text)
            before = lines.setdefault(key, one.line)
            if before != one.line:
                yield Problem(one.file, one.line, f"the same utterance as line {before}")

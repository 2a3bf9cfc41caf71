"""Rows of published CSV files, as spreadsheet programs and other tools leave them."""

import codecs
import csv
import io
import logging
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path

from cberl.data.dialogue import DataError

log = logging.getLogger(__name__)


def read_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row by column). Raises `DataError` with file and line where it is not CSV in UTF-8.

    Bytes that are not UTF-8 are read as Windows-1252, with a note in the log.
    """
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            hint = "is it the official release, with commas between its columns?"
            raise DataError(f"{path} has no column {', '.join(sorted(missing))}: {hint}")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def unique_id(seen: dict[Hashable, int], key: Hashable, line: int) -> None:
    """Raises ValueError where a row above has the same key; `seen` has the lines by key."""
    before = seen.setdefault(key, line)
    if before != line:
        raise ValueError(f"its id {key}: line {before} has the same")


def whole_number(row: dict[str, str], column: str) -> int:
    """Raises ValueError."""
    try:
        return int(row[column])
    except ValueError as error:
        raise ValueError(f"{column} {row[column]!r}: it must be a whole number") from error


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        line = content[: content.find(b"\0")].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8, but perhaps UTF-16: save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        log.warning("%s, line %d: byte 0x%02x is not UTF-8: read as Windows-1252", path, line, byte)
        return content.decode("utf-8-sig", errors=_WINDOWS_1252)


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    invalid = error.object[error.start : error.end]
    return invalid.decode("cp1252", errors="replace"), error.end


_WINDOWS_1252 = "cberl-windows-1252"
codecs.register_error(_WINDOWS_1252, _as_windows_1252)

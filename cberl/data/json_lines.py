"""Compressed files with one JSON object per line, as corpora publish their features."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cberl.data.dialogue import DataError
from cberl.types import Float32

NOT_JSON = (ValueError, RecursionError)  # what `json.loads` raises; UnicodeDecodeError is a ValueError
NOT_GZIP = (OSError, EOFError, zlib.error)  # what reading a damaged .gz raises


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) for each line of a .jsonl.gz. Raises `DataError` with file and line."""
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path}, line {number}: expected an object in braces")
                yield number, row
    except NOT_GZIP as error:
        raise DataError(f"{path}, after line {number}: damaged, or not compressed by gzip: {error}") from error
    except DataError:
        raise
    except NOT_JSON as error:
        raise DataError(f"{path}, line {number}: not JSON: {error}") from error


def numbers_or_nan(values: Any) -> Float32:
    """float32[n] of a list of finite numbers; null is NaN. Raises ValueError."""
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        raise ValueError("a list of numbers: each must be finite, or null")
    with np.errstate(over="ignore"):
        found = np.array([np.nan if value is None else float(value) for value in values], dtype=np.float32)
    if np.isinf(found).any():
        raise ValueError("a list of numbers: one of them is too large")
    return found


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300

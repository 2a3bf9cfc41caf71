"""Arrays of an .npz file from somebody else."""

import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cberl.data.dialogue import DataError

# What NumPy and zipfile raise for a file that is damaged, or not theirs. The header of an array is parsed as Python.
_DAMAGED = (
    OSError, EOFError, KeyError, ValueError, TypeError, MemoryError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def load_arrays(path: Path, names: Collection[str], hint: str = "") -> dict[str, NDArray[Any]]:
    """The named arrays, without pickled objects. Raises `DataError`; `hint` says what file was expected."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            missing = sorted(set(names) - set(file.files))
            if not missing:
                return {name: file[name] for name in names}
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged, or not an .npz file: {str(error)[:200]}") from error
    raise DataError(f"{path} has no array {', '.join(missing)}{hint and ': ' + hint}")

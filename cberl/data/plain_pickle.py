"""Reads pickles of plain data without executing anything in them.

Unpickling a file runs code of its author's choice. Here no function of a pickle is called. Allowed are Python's dict,
list, tuple, set, str, bytes and numbers, and NumPy's arrays and scalars of numbers, bytes and text (and arrays of plain
objects). Arrays are rebuilt from their parts by the code below, because NumPy's own functions trust the memory layout
that a pickle states. Any other name is refused, with a message. Pickles of Python 2 (`encoding="latin1"`) are read too.
"""

import pickle
import pickletools
import re
from pathlib import Path
from typing import IO, Any

import numpy as np

from cberl.data.dialogue import DataError

# Exceptions that a damaged or malicious stream of opcodes can raise, beside UnpicklingError.
_BROKEN = (
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)
_PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|\?|[iu][1248]|f[248]|[SU]\d+)")


def load_plain(path: Path) -> Any:
    """The data of a pickle. Raises `DataError` for anything that is not plain data, naming it."""
    if not path.is_file():
        raise DataError(f"{path} is missing")
    with path.open("rb") as file:
        try:
            _require_small_memo(file, path.stat().st_size)
            file.seek(0)
            return _plain(_Unpickler(file, encoding="latin1").load(), {})
        except pickle.UnpicklingError as error:
            raise DataError(f"{path} was not read: {error}") from error
        except RecursionError as error:
            raise DataError(f"{path} was not read: it is nested too deeply, or contains itself") from error
        except _BROKEN as error:
            raise DataError(f"{path} was not read: it is damaged or not a pickle ({error})") from error


def _require_small_memo(file: IO[bytes], size: int) -> None:
    """Raises `UnpicklingError` for the number of an object beyond the size of the file.

    Python reserves memory for all numbers up to it: a pickle of twelve bytes may ask for 30 GB.
    """
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= size:
            raise pickle.UnpicklingError(f"it numbers an object {argument}, and is too small for so many")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset", "bytes"):
            return _Maker(name)
        maker = (module.replace("numpy._core", "numpy.core"), name)
        if maker in _MAKERS:
            return _Maker(_MAKERS[maker])
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, and only plain data and NumPy arrays are allowed. "
            "If you trust its author, convert it yourself to those"
        )


_MAKERS = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("_codecs", "encode"): "bytes",
}


class _Maker:
    """Stands for a function or class that a pickle names. It can be called, and makes inert parts."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to change a function, which plain data never does")

    def __call__(self, *given: Any) -> Any:
        match self.kind, given:
            case "set", (list() as items,):
                return set(items)
            case "frozenset", (list() as items,):
                return frozenset(items)
            case "bytes", ():
                return b""
            case "bytes", (str() as text, "latin1" | "latin-1"):
                return text.encode("latin1")
            case "dtype", (str() as code, *_):
                return _Dtype(code)
            case "array", (_Maker(kind="ndarray"), *_):
                return _Array()
            case "scalar", (_Dtype() as dtype, raw):
                return _Array().fill((), dtype, False, raw)
            case "frombuffer", (raw, _Dtype() as dtype, tuple() as shape, "C" | "F" as order):
                return _Array().fill(shape, dtype, order == "F", raw)
        raise pickle.UnpicklingError(f"it builds a {self.kind} in a way that NumPy and Python do not")


class _Dtype:
    """A type of number or text, by its code: `f4`, `<i8`, `U12`, `O8`."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
                self.code = order + self.code.lstrip("<>|=")
            case _:
                raise pickle.UnpicklingError("it has an array of records, and only arrays of plain numbers are allowed")

    @property
    def is_object(self) -> bool:
        return self.code.lstrip("<>|=")[:1] == "O"

    def numpy(self) -> np.dtype[Any]:
        if not _PLAIN_DTYPE.fullmatch(self.code):
            raise pickle.UnpicklingError(f"it has an array of type {self.code!r}, which is not a plain number or text")
        return np.dtype(self.code)


class _Array:
    """An array under construction: its parts, checked against each other."""

    __slots__ = ("fortran", "items", "raw", "shape")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        match state:
            case (int(), tuple() as shape, _Dtype() as dtype, fortran, raw):
                self.fill(shape, dtype, bool(fortran), raw)
            case _:
                raise pickle.UnpicklingError("it builds an array in a way that NumPy does not")

    def fill(self, shape: tuple[Any, ...], dtype: _Dtype, fortran: bool, raw: Any) -> "_Array":
        if not all(type(size) is int and size >= 0 for size in shape):
            raise pickle.UnpicklingError(f"it has an array of shape {shape!r}")
        self.shape, self.fortran, self.items = shape, fortran, None
        if dtype.is_object:
            self.items = raw if isinstance(raw, list) else [raw]
            return self
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(data, (bytes, bytearray)):
            raise pickle.UnpicklingError(f"it has an array made of a {type(raw).__name__}")
        self.raw = np.frombuffer(data, dtype.numpy())
        return self

    def numpy(self, done: dict[int, Any]) -> Any:
        if self.items is None:
            return self.raw.reshape(self.shape, order="F" if self.fortran else "C").copy()
        filled = np.empty(len(self.items), dtype=object)
        filled[:] = [_plain(item, done) for item in self.items]
        return filled.reshape(self.shape, order="F" if self.fortran else "C")


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """`value` with `_Array`s replaced by arrays, and zero-dimensional ones by their number.

    `done`: results by id() of the original, so that an object that a pickle refers to repeatedly is converted once.
    """
    if value is None or isinstance(value, (str, bytes, bool, int, float)):
        return value
    if id(value) not in done:
        done[id(value)] = _converted(value, done)
    return done[id(value)]


def _converted(value: Any, done: dict[int, Any]) -> Any:
    match value:
        case _Array():
            array = value.numpy(done)
            return array if value.shape else array.item()
        case dict():
            return {_plain(key, done): _plain(item, done) for key, item in value.items()}
        case list():
            return [_plain(item, done) for item in value]
        case tuple():
            return tuple(_plain(item, done) for item in value)
        case set() | frozenset():
            return {_plain(item, done) for item in value}
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__.lstrip('_').lower()} where data should be")

"""Which pickles are read, and that no code of any pickle is executed."""

import builtins
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cberl.data.dialogue import DataError
from cberl.data.plain_pickle import load_plain


class Calls:
    """Its pickle is a call of `function`."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.pair = (function, given)

    def __reduce__(self) -> Any:
        return self.pair


def keep(folder: Path, value: Any, protocol: int = 4) -> Path:
    path = folder / "data.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_data_comes_back(tmp_path: Path, protocol: int) -> None:
    values: dict[Any, Any] = {
        "floats": np.arange(12, dtype=np.float32).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">i2"),
        "text": np.array(["a", "\u00e9\u4e00"]),
        "objects": np.array(["one", None, [1, 2]], dtype=object),
        "empty": np.zeros((0, 5)),
        "true": np.array([True, False]),
        "scalar": np.float32(1.5),
        "nest": [("x", 1, 2.5, None, True, b"\xff\x00"), {1, 2}, frozenset({3})],
        np.int64(7): {"same": 1},
    }
    loaded = load_plain(keep(tmp_path, values, protocol))
    for name in ("floats", "fortran", "big endian", "text", "objects", "empty", "true"):
        np.testing.assert_array_equal(loaded[name], values[name])
        assert loaded[name].dtype == values[name].dtype
    assert loaded["scalar"] == 1.5
    assert loaded["nest"] == values["nest"]
    assert loaded[7] == {"same": 1}


def test_arrays_in_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    written = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x00\x00\x80?\x00\x00\xa0\xbftb."
    )
    np.testing.assert_array_equal(load_plain(keep(tmp_path, written)), np.array([1.0, -1.25], np.float32))


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("depth", ["plain", "nested", "as a key", "array"])
def test_calls_are_refused_and_named(tmp_path: Path, protocol: int, depth: str) -> None:
    touched = tmp_path / "touched"
    call: Any = Calls(os.system, f"touch {touched}")
    if depth == "nested":
        call = {"videoIDs": [("a", Calls(builtins.dict, [call]))]}
    elif depth == "as a key":
        call = {call: 1}
    elif depth == "array":
        call = np.array([call, None], dtype=object)
    with pytest.raises(DataError, match=r"data.pkl was not read: it asks for (posix|nt|builtins|__builtin__)\.\w+"):
        load_plain(keep(tmp_path, call, protocol))
    assert not touched.exists()


@pytest.mark.parametrize(
    ("function", "given", "name"),
    [
        (eval, ("1",), r"(builtins|__builtin__)\.eval"),
        (getattr, ("x", "upper"), r"(builtins|__builtin__)\.getattr"),
        (np.fromfile, ("/etc/passwd",), "numpy.*fromfile"),
        (np.load, ("x",), "numpy.*load"),
        (__import__, ("os",), r"(builtins|__builtin__)\.__import__"),
        (io.open, ("/etc/passwd",), r"_?io\.open"),
        (pickle.loads, (b"",), r"_?pickle\.loads"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, function: Any, given: tuple[Any, ...], name: str) -> None:
    with pytest.raises(DataError, match=f"asks for {name}"):
        load_plain(keep(tmp_path, Calls(function, *given)))


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR"


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"cnumpy\nndarray\n(dS'kind'\nS'dtype'\nsb.", "tries to change a function"),
        (b"cbuiltins\nset\n.", "holds a maker"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "asks for numpy.ndarray.__init__"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "builds a bytes"),
        (DTYPE % b"V16" + b"(I3\nS'|'\nN(S'a'\nt(dI16\nI1\nI16\ntb.", "array of records"),
        # bytes that NumPy's reconstructor would follow as pointers to objects
        (ARRAY + b"(I1\n(I1\nt" + DTYPE % b"O8" + b"I00\nS'AAAAAAAA'\ntb.", None),
        (ARRAY + b"(I1\n(I9\nt" + DTYPE % b"f8" + b"I00\nS'AAAAAAAA'\ntb.", "damaged"),
        (ARRAY + b"(I1\n(I-1\nt" + DTYPE % b"f8" + b"I00\nS'AAAAAAAA'\ntb.", "shape"),
        (ARRAY + b"(I1\n(I1\nt" + DTYPE % b"M8[s]" + b"I00\nS'AAAAAAAA'\ntb.", "not a plain number"),
        (ARRAY + b".", "damaged"),
        (b"]" * 5 + b"q\x00h\x00a.", "too deeply, or contains itself"),
        (b"not a pickle", "damaged or not a pickle|invalid load key"),
        (b"", "damaged or not a pickle"),
        (b"Pos\n.", "persistent"),
    ],
)
def test_malicious_streams_are_refused_with_one_sentence(tmp_path: Path, stream: bytes, why: str | None) -> None:
    path = keep(tmp_path, stream)
    if why is None:
        assert load_plain(path).tolist() == ["AAAAAAAA"]
    else:
        with pytest.raises(DataError, match=why):
            load_plain(path)


def test_an_object_that_is_referenced_repeatedly_is_converted_once(tmp_path: Path) -> None:
    bomb: list[Any] = [1]
    for _ in range(60):
        bomb = [bomb, bomb]  # 2 ** 60 leaves, if written out
    loaded = load_plain(keep(tmp_path, bomb))
    assert loaded[0] is loaded[1]


def test_an_array_made_of_a_number_is_refused(tmp_path: Path) -> None:
    stream = ARRAY + b"(I1\n(I1\nt" + DTYPE % b"i1" + b"I00\nI99999999999\ntb."
    with pytest.raises(DataError, match="an array made of a int"):
        load_plain(keep(tmp_path, stream))

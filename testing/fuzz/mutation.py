"""Changes valid inputs: bytes, numbers, lengths, tokens of their format, and values inside JSON. Seeded."""

import json
import random
from collections.abc import Sequence
from typing import Any

MAX_BYTES = 20_000  # or as many as the longest seed
MAX_CHANGES = 4
BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF, *b'"{}[]:,\\/ \n\r\t-+.0=#*%')
NUMBERS = (b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 30, b"1.5", b"2147483648", b"0x10", b"1_0")
TEXTS = (
    b"", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xef\xb7\x90", b"\xf4\x8f\xbf\xbf", "٣".encode(), b"\\ud800", b"\\u0000",
    b"null", b"true", b"..", b"../../etc/passwd", b"%00", b"%ff", b"[" * 300, b'{"a":' * 300, b"[" * 3000, b"a" * 3000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), 2**31, 2**53 + 1, 2**63, 10**40,
    "", "a", " ", "*", "\ud800", "\ufdd0", "\x00", "a" * 3000, "٣", [], {}, [[]], [{}], [None], {"": None}, [0] * 300,
)  # fmt: skip
INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


class Mutator:
    """Makes one input per call from `seeds`, with up to `changes`. `tokens` are words of their format."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes] = (), changes: int = MAX_CHANGES) -> None:
        self._changes = changes
        self._seeds = seeds
        self._most = max(MAX_BYTES, *map(len, seeds))
        self._bodies = [_json(seed) for seed in seeds]
        self._tokens = (*NUMBERS, *TEXTS, *(token for token in tokens for _ in range(4)))

    def make(self, rng: random.Random) -> bytes:
        number = rng.randrange(len(self._seeds))
        data, body = self._seeds[number], self._bodies[number]
        if body is not None and rng.random() < 0.6:
            data = _changed_json(body, rng)
            if rng.random() < 0.7:
                return data[: self._most]
        changed = bytearray(data)
        for _ in range(rng.randint(1, self._changes)):
            self._change(changed, rng)
        return bytes(changed[: self._most])

    def _change(self, data: bytearray, rng: random.Random) -> None:
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 32))
        match rng.randrange(10):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.choice(BYTES)
            case 2:
                data[at:at] = rng.randbytes(length)
            case 3:
                del data[at : at + length]
            case 4:  # repeated
                data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
            case 5:  # cut off
                del data[at:]
            case 6:
                token = rng.choice(self._tokens)
                data[at : at + rng.choice((0, len(token)))] = token
            case 7:  # a part of another input
                other = rng.choice(self._seeds)
                start = rng.randrange(len(other) + 1)
                data[at : at + rng.choice((0, 32))] = other[start : start + 64]
            case 8:
                size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
                data[at : at + size] = (rng.choice(INTEGERS) & (1 << 8 * size) - 1).to_bytes(size, order)
            case _:
                _change_word(data, at, rng, self._tokens)


def _change_word(data: bytearray, at: int, rng: random.Random, tokens: Sequence[bytes]) -> None:
    """Replace the number or word at this place."""
    start = end = min(at, max(0, len(data) - 1))
    while start > 0 and chr(data[start - 1]).isalnum():
        start -= 1
    while end < len(data) and chr(data[end]).isalnum():
        end += 1
    data[start:end] = rng.choice(tokens)


def _json(seed: bytes) -> Any | None:
    try:
        body = json.loads(seed)
    except ValueError:
        return None
    return body if isinstance(body, dict | list) else None


def _changed_json(body: Any, rng: random.Random) -> bytes:
    """With one to three values replaced, dropped, renamed or repeated."""
    root = _copy(body)
    for _ in range(rng.randint(1, 3)):
        places = list(_containers(root))
        place = rng.choice(places)
        if not place:
            continue
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        match rng.randrange(6):
            case 0:
                del place[key]
            case 1 if isinstance(place, dict):
                place[rng.choice(("", "type", "x" * 300, "\ufdd0", *place))] = place[key]
            case 1 | 2 if isinstance(place, list):
                place.extend([place[key]] * rng.choice((1, 10, 100)))
            case 3:
                place[key] = _copy(rng.choice(places))
            case _:
                place[key] = _copy(rng.choice(VALUES))
    return json.dumps(root, ensure_ascii=True).encode()


def _copy(value: Any) -> Any:
    """Of plain JSON, so that no value is shared by two places or two cases."""
    return json.loads(json.dumps(value))


def _containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)

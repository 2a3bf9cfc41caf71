"""The first difference between two lists of events. Pure."""

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

ROUNDING = 1.01e-4  # of numbers on the wire, once
OF_A_RUN = {"id", "seq", "timings_ms", "lag_s"}


def finals(lines: Iterable[str]) -> list[str]:
    """Final events only, without what depends on the machine and the run: `OF_A_RUN`."""
    bodies = (json.loads(line) for line in lines)
    return [
        json.dumps({name: value for name, value in body.items() if name not in OF_A_RUN}, ensure_ascii=False)
        for body in bodies
        if body.get("type") == "emotion" and body.get("status") == "final"
    ]


def first_difference(wanted: Sequence[str], found: Sequence[str], tolerance: float = 0.0) -> str | None:
    """In a sentence, or None. Numbers may differ by `tolerance`; without one, lines are the same to the byte."""
    for number, (line, other) in enumerate(zip_longest(wanted, found), start=1):
        if line == other:
            continue
        if line is None or other is None:
            return (
                f"{len(found)} events came instead of {len(wanted)}; the first without a counterpart: {line or other}"
            )
        difference = _difference(json.loads(line), json.loads(other), tolerance)
        if difference or not tolerance:
            return f"event {number} {difference or 'is written differently'}: {other}"
    return None


def _difference(wanted: Any, found: Any, tolerance: float, name: str = "") -> str | None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        if others := sorted(wanted.keys() ^ found.keys()):
            return f"has other fields{f' in {name}' * bool(name)}, namely {', '.join(others)} on one side only"
        parts = (_difference(wanted[key], found[key], tolerance, f"{name}.{key}".lstrip(".")) for key in wanted)
        return next(filter(None, parts), None)
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        parts = (_difference(one, other, tolerance, f"{name}.{place}") for place, (one, other) in pairs)
        return next(filter(None, parts), None)
    numbers = all(isinstance(it, float | int) and not isinstance(it, bool) for it in (wanted, found))
    same = abs(wanted - found) <= tolerance if numbers else wanted == found
    return None if same else f"has {name} {json.dumps(found)} instead of {json.dumps(wanted)}"
